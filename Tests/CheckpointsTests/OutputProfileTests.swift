import Checkpoints
import ModelSources
import Support
import Tensors
import Testing

/// The list of output profiles, and how writers choose from it.
struct OutputProfileTests {
  @Test func everyWriterHasItsProfiles() {
    let profiles = Writers.all.map { writer in writer.profiles.map(\.name) }
    #expect(
      profiles == [
        ["diffusers", "sdnq"], ["checkpoint", "comfyui"], ["sdcpp", "comfyui", "diffusers"],
      ])
    for writer in Writers.all {
      #expect(writer.profiles.allSatisfy { $0.container == writer.name })
    }
    let titles = OutputProfiles.all.map(\.title)
    #expect(Set(titles).count == titles.count, "\(titles)")
  }

  @Test func theFirstProfileIsTheDefault() throws {
    let writer = GGUFWriter()
    #expect(try writer.profile(WriteOptions()).name == "sdcpp")
    #expect(try writer.profile(WriteOptions(program: "comfyui")).title == "ComfyUI-GGUF")
    let error = #expect(throws: OutputProfileError.self) {
      try writer.profile(WriteOptions(program: "sdnq"))
    }
    #expect(
      error?.description
        == "unknown program 'sdnq' for a GGUF file; expected sdcpp, comfyui or diffusers")
    #expect(error?.remedy == nil)
  }

  @Test func aModelIsRefusedWithTheProgramsThatLoadIt() throws {
    let model = ModelSource(
      location: "m", layout: "memory", index: [:], components: [], scheduler: nil, files: [])
    let error = try #require(throws: OutputProfileError.self) {
      try GGUFWriter().checkLoadable(model, to: "a.gguf", options: WriteOptions())
    }
    #expect(
      error.description == "a.gguf: stable-diffusion.cpp cannot load a model without a U-Net")
    #expect(error.remedy == nil)
    let refusal = OutputProfileError.notLoadable(
      path: "a.gguf", program: "P", found: "a U-Net", others: ["comfyui"])
    #expect(refusal.description == "a.gguf: P cannot load a U-Net")
    #expect(refusal.remedy == .choose(.program, ["comfyui"]))
    try DiffusersFolderWriter().checkLoadable(model, to: "a", options: WriteOptions())
  }

  /// What each program keeps in memory. `Formats/memory.md` has the table.
  @Test func programsDifferInMemory() throws {
    func memory(_ program: String, _ writer: any ModelWriter) throws -> ProgramMemory {
      try writer.profile(WriteOptions(program: program)).memory
    }
    let pipeline = ProgramMemory(activationBytes: 2)
    #expect(try memory("diffusers", DiffusersFolderWriter()) == pipeline)
    #expect(try memory("checkpoint", CheckpointWriter()) == pipeline)
    #expect(
      try memory("sdnq", DiffusersFolderWriter())
        == ProgramMemory(activationBytes: 2, quantizedProducts: .widenedByLayer(bytes: 6)))
    #expect(
      try memory("comfyui", GGUFWriter())
        == ProgramMemory(
          activationBytes: 2, residency: .oneAfterAnother,
          quantizedProducts: .widenedByLayer(bytes: 2), decoderTile: 512))
    #expect(
      try memory("comfyui", CheckpointWriter())
        == ProgramMemory(
          activationBytes: 2, residency: .oneAfterAnother, quantizedProducts: .integers,
          float8Products: .widenedByLayer(bytes: 2), decoderTile: 512))
    #expect(
      try memory("diffusers", GGUFWriter())
        == ProgramMemory(activationBytes: 2, quantizedProducts: .widenedByLayer(bytes: 2)))
    #expect(
      try memory("sdcpp", GGUFWriter())
        == ProgramMemory(
          activationBytes: 4, batchesGuidance: false, scores: .wholeMatrix,
          convolutions: .unfolded, loadsEncoder: false))
  }

  /// Programs that are Python packages, and need more than `from_pretrained` alone.
  @Test func codeThatLoadsAnOutputIsKnown() throws {
    let known = OutputProfiles.all.compactMap { profile in
      profile.loading.map { "\(profile.container) \(profile.name): \($0)" }
    }
    #expect(
      known == [
        #"diffusers sdnq: pipeline(importing: "sdnq")"#,
        #"gguf diffusers: unetOfGGUF(configIn: "unet")"#,
      ])
  }

  /// A U-Net of Stable Diffusion 2, with its layers.
  private func stableDiffusion2(_ type: String, layers: Int, guidance: Int? = nil) -> ModelSource {
    let unet: JSONObject = [
      "cross_attention_dim": 1024, "use_linear_projection": true,
      "layers_per_block": .integer(layers),
      "time_cond_proj_dim": guidance.map { .integer($0) } ?? .null,
    ]
    return ModelSource(
      location: "m", layout: "memory", index: [:],
      components: [
        ModelSource.Component(
          name: "unet", className: "UNet2DConditionModel", config: unet,
          weights: MemorySource(location: "m", []))
      ], scheduler: ["prediction_type": .string(type)], files: [])
  }

  @Test func diffusersRefusesAGuidanceEmbeddingInGGUF() throws {
    let diffusers = try GGUFWriter().profile(WriteOptions(program: "diffusers"))
    #expect(diffusers.refusal(stableDiffusion2("v_prediction", layers: 1)) == nil)
    let consistent = stableDiffusion2("epsilon", layers: 2, guidance: 256)
    #expect(
      diffusers.refusal(consistent) == "the guidance embedding of a latent consistency model")
  }

  @Test func programsThatIgnoreAGuidanceEmbeddingAreNamed() throws {
    let consistent = stableDiffusion2("epsilon", layers: 2, guidance: 256)
    let end =
      "the guidance embedding of this latent consistency model, the tensor "
      + "'time_embedding.cond_proj.weight'"
    let profiles = OutputProfiles.all.filter { $0.refusal(consistent) == nil }
    let notes = Dictionary(grouping: profiles.map { ($0.container, $0.notes(consistent)) }, by: \.0)
      .mapValues { $0.map(\.1) }
    #expect(
      notes["checkpoint"] == [
        ["ComfyUI and diffusers' from_single_file ignore \(end)"], ["ComfyUI ignores \(end)"],
      ])
    #expect(notes["gguf"] == [["ComfyUI-GGUF ignores \(end)"]])
    #expect(notes["diffusers"] == [[], []])
    let plain = stableDiffusion2("epsilon", layers: 2)
    #expect(OutputProfiles.all.allSatisfy { $0.notes(plain).isEmpty })
  }

  /// 8-bit codes become Q8_0 blocks of 32. ComfyUI-GGUF reads convolutions in blocks,
  /// stable-diffusion.cpp does not.
  @Test func programsDifferInTheWeightsThatTheyReadQuantized() throws {
    let q8 = TensorEncoding.symmetric(bits: 8, groupSize: 32)
    let writer = GGUFWriter()
    let cpp = try writer.profile(WriteOptions(program: "sdcpp"))
    let comfy = try writer.profile(WriteOptions(program: "comfyui"))
    for profile in [cpp, comfy] {
      #expect(profile.accepted(.int8) == q8)
      #expect(profile.accepted(.symmetric(bits: 4, groupSize: 64)) == nil)
      #expect(profile.accepted(.plain(.f16)) == .plain(.f16))
    }
    let matrix = TensorEntry(shape: [8, 64], encoding: q8)
    let kernel = TensorEntry(shape: [8, 32, 3, 3], encoding: q8)
    let narrow = TensorEntry(shape: [8, 48], encoding: q8)
    let cases: [(TensorEntry, String, String, cpp: Bool, comfy: Bool)] = [
      (matrix, "to_q.weight", "unet", true, true),
      (matrix, "to_q.weight", "text_encoder", true, false),
      (matrix, "time_embedding.linear_1.weight", "unet", false, false),
      (kernel, "conv.weight", "unet", false, true),
      (kernel, "conv_in.weight", "unet", false, false),
      (TensorEntry(shape: [4, 4, 2, 4], encoding: q8), "conv.weight", "unet", false, false),
      (narrow, "to_q.weight", "unet", false, false),
      (TensorEntry(shape: [8], encoding: .plain(.f16)), "norm.weight", "unet", true, true),
    ]
    for (entry, name, component, inCpp, inComfy) in cases {
      #expect(cpp.holds(entry, of: name, in: component) == inCpp, "\(name) \(entry.shape)")
      #expect(comfy.holds(entry, of: name, in: component) == inComfy, "\(name) \(entry.shape)")
    }
    // diffusers quantizes linear layers of the U-Net, and takes bfloat16 for quantized.
    let diffusers = try writer.profile(WriteOptions(program: "diffusers"))
    #expect(diffusers.accepted(.int8) == q8)
    for (entry, name, component, held) in [
      (matrix, "time_embedding.linear_1.weight", "unet", true),
      (matrix, "to_q.weight", "text_encoder", false), (kernel, "conv.weight", "unet", false),
      (narrow, "to_q.weight", "unet", false),
    ] {
      #expect(diffusers.holds(entry, of: name, in: component) == held, "\(name)")
    }
    #expect(
      diffusers.stored(TensorEntry(shape: [8, 8], encoding: .plain(.bf16))).encoding == .plain(.f32)
    )
    #expect(diffusers.stored(matrix) == matrix)
    // Kernels lie in rows of 256; vectors of half precision are widened.
    #expect(comfy.stored(kernel).shape == [9, 256])
    #expect(
      comfy.stored(TensorEntry(shape: [8], encoding: .plain(.f16))).encoding == .plain(.f32))
    #expect(comfy.stored(matrix) == matrix)
    #expect(cpp.stored(kernel) == kernel)
  }
}
