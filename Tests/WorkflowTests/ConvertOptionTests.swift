import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Every option of `convert` and `strip` changes what is written.
@Suite struct ConvertOptionTests {
  private func converted(
    _ model: String = tiny, reading: InputOptions = InputOptions(), name: String = "a",
    type: String? = nil, layout: LayoutRequest = LayoutRequest()
  ) async throws -> [String: Data] {
    try await withTemporaryFolder { folder in
      let output = OutputRequest(path: folder + "/" + name, layout: layout)
      _ = try await ConvertJob(model: model, reading: reading, output: output, type: type).run()
      return try contents(output.path)
    }
  }

  @Test func optionsOfFolders() async throws {
    let standard = try await converted()
    #expect(try await converted() == standard)
    #expect(try await converted(type: "bf16") != standard)
    #expect(try await converted(reading: InputOptions(prediction: "v_prediction")) != standard)
    for options in [
      LayoutRequest(kind: "decant"), LayoutRequest(variant: "fp16"),
      LayoutRequest(maxShardSize: 100_000),
    ] {
      #expect(try await Set(converted(layout: options).keys) != Set(standard.keys), "\(options)")
    }
  }

  @Test func optionsOfFiles() async throws {
    let checkpoint = try await converted(name: "a.safetensors")
    let gap = try await converted(
      name: "a.safetensors", layout: LayoutRequest(numbering: "gap"))
    #expect(gap != checkpoint)
    let decant = try await converted(name: "a.decant")
    #expect(try await converted(name: "a.decant", layout: LayoutRequest(codes: false)) != decant)
    let gguf = try await converted(miniature, name: "a.gguf")
    let comfyUI = try await converted(
      miniature, name: "a.gguf", layout: LayoutRequest(program: "comfyui"))
    #expect(gguf != comfyUI)
  }

  /// Names are found in any case, and programs by their titles.
  @Test func namesInOtherForms() async throws {
    let names = [
      ("a.gguf", LayoutRequest(program: "comfyui"), LayoutRequest(program: "ComfyUI")),
      (
        "a.gguf", LayoutRequest(program: "sdcpp"), LayoutRequest(program: "stable-diffusion.cpp")
      ),
      (
        "a.safetensors", LayoutRequest(numbering: "gap"),
        LayoutRequest(kind: "Checkpoint", numbering: "GAP")
      ),
    ]
    for (name, usual, other) in names {
      #expect(
        try await converted(miniature, name: name, layout: usual)
          == converted(miniature, name: name, layout: other))
    }
    #expect(
      try await converted(reading: InputOptions(prediction: "V_Prediction"))
        == converted(reading: InputOptions(prediction: "v_prediction")))
  }

  @Test func componentsOfOtherModels() async throws {
    let standard = try await converted()
    let composition = Composition(parts: [("vae", miniature)])
    let changed = try await converted(reading: InputOptions(composition: composition))
    let weights = "vae/diffusion_pytorch_model.safetensors"
    let other = try await converted(miniature)
    #expect(changed[weights] != standard[weights] && changed[weights] == other[weights])
    let unet = "unet/diffusion_pytorch_model.safetensors"
    #expect(changed[unet] == standard[unet])
  }

  @Test func anExistingOutputIsReplacedOnRequest() async throws {
    try await withTemporaryFolder { folder in
      func convert(replacing: Bool, type: String) async throws {
        _ = try await ConvertJob(
          model: tiny, reading: InputOptions(),
          output: OutputRequest(path: folder + "/a.decant", replacing: replacing), type: type
        ).run()
      }
      try await convert(replacing: false, type: "f32")
      let first = try contents(folder + "/a.decant")
      await #expect(throws: FileError(.exists, folder + "/a.decant")) {
        try await convert(replacing: false, type: "bf16")
      }
      #expect(try contents(folder + "/a.decant") == first)
      try await convert(replacing: true, type: "bf16")
      #expect(try contents(folder + "/a.decant") != first)
    }
  }

  /// Configs that are derived from tensors are listed where no published model has the sizes, and the
  /// moving average is another U-Net.
  @Test func theMovingAverageAndDerivedConfigs() async throws {
    try await withTemporaryFolder { folder in
      let (plain, both) = (folder + "/a.safetensors", folder + "/b.safetensors")
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: plain), type: nil
      ).run()
      let file = try SafetensorsFile(path: plain)
      let prefix = "model.diffusion_model."
      var tensors = try file.names.map { ($0, try file.tensor($0)) }
      for (name, tensor) in tensors where name.hasPrefix(prefix) {
        let zeros = StoredTensor(
          shape: tensor.shape, floats: [Float](repeating: 0, count: tensor.shape.count))
        let averaged = name.dropFirst(prefix.count).filter { $0 != "." }
        tensors.append(("model_ema.diffusion_model" + averaged, zeros))
      }
      // Without metadata, the file holds no configs.
      try writeSafetensors(MemorySource(location: both, tensors), to: both)

      func unet(_ path: String, ema: Bool) async throws -> (weights: Data?, changes: [String]) {
        let log = EventLog()
        let output = OutputRequest(path: folder + "/out", replacing: true)
        let written = try await ConvertJob(
          model: path, reading: InputOptions(ema: ema), output: output, type: nil
        ).run(log.add)
        // What the result lists is not noted as well.
        #expect(log.notes.isEmpty)
        let weights = try contents(output.path)["unet/diffusion_pytorch_model.safetensors"]
        return (weights, written.listedChanges.map(\.text))
      }
      let added =
        "added: configs, scheduler and tokenizers of sd-v1, which the input does not state"
      let assumed =
        "assumed: members of configs that tensors do not show, because no published model has these "
        + "sizes (sd-v1-custom): text_encoder (num_attention_heads 1, hidden_act \"quick_gelu\"), "
        + "unet (attention_head_dim 8, norm_num_groups 16), vae (norm_num_groups 8, "
        + "scaling_factor 0.18215)"
      let tokenizer =
        "added: text_encoder: no tokenizer of 'text_encoder' was found, and CLIP's has 49408 tokens, "
        + "but 'text_encoder' has 711 embeddings; the model cannot make images"
      let last = try await unet(both, ema: false)
      let average = try await unet(both, ema: true)
      #expect(last.weights != average.weights)
      #expect(
        last.changes
          == ["left out: unet: the moving average (EMA) of its weights", assumed, added, tokenizer])
      #expect(
        average.changes == [
          assumed,
          "left out: unet: the weights of the last training step, because their moving average "
            + "(EMA) is read", added, tokenizer,
        ])
      // Decant stores the configs in the files that it writes.
      #expect(try await unet(plain, ema: false).changes.isEmpty)
      // Every job that writes the model lists it, `inspect` describes it, and others note it.
      let inspected = try await InspectJob(
        model: both, reading: InputOptions(), listsTensors: false, checks: false
      ).run()
      #expect(inspected.text.contains("\n\(added)\n\(assumed)\n"), "\(inspected.text)")
      let stripped = try await StripJob(
        model: both, reading: InputOptions(), output: OutputRequest(path: folder + "/s"),
        cut: .drops(["mid_block"])
      ).run()
      #expect(stripped.listedChanges.map(\.text) == last.changes)
      let log = EventLog()
      let session = ModelSession(
        path: both, reading: InputOptions(), settings: ComputeSettings(compute: .f32))
      _ = try await session.inspect { log.add($0) }
      #expect(log.notes == ["\(both): \(assumed)", "\(both): \(tokenizer)"])
    }
  }

  /// A layout that cannot hold quantized weights is refused before anything is written, and the
  /// remedies are those of the job.
  @Test func quantizedWeightsAreRefusedByLayoutsOfPlainNumbers() async throws {
    try await withTemporaryFolder { folder in
      let quantized = folder + "/a.decant"
      _ = try await QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: quantized),
        isDryRun: false, request: QuantizationRequest(type: "int8-g32", method: "round"),
        calibration: nil
      ).run()
      let first = try firstQuantized(quantized)
      for name in ["out", "out.safetensors"] {
        let output = OutputRequest(path: folder + "/" + name)
        let layout = name == "out" ? "diffusers folder" : "single-file checkpoint"
        let others: [Remedy] =
          (name == "out" ? [.choose(.program, ["sdnq"])] : [])
          + [.choose(.outputFormat, ["decant"])]
        for (job, remedies) in [
          (
            ConvertJob(model: quantized, reading: InputOptions(), output: output, type: nil),
            others + [.choose(.type, ["f16"])]
          ),
          (
            StripJob(
              model: quantized, reading: InputOptions(), output: output,
              cut: .drops(["mid_block"])), others
          ),
        ] as [(any Job, [Remedy])] {
          let log = EventLog()
          let error = await #expect(throws: JobError.self) { _ = try await job.run(log.add) }
          // Stripping lists tensors in the order of the modules.
          let tensor = job is StripJob ? "down_blocks.0.resnets.0.conv1.weight" : first
          #expect(
            error?.description
              == "\(output.path): a \(layout) cannot hold int8-g32 weights, such as tensor "
              + "'\(tensor)' of component 'unet'")
          #expect(error?.remedy == .either(remedies))
          #expect(log.isEmpty)
        }
        _ = try await ConvertJob(
          model: quantized, reading: InputOptions(), output: output, type: "f16"
        ).run()
      }
    }
  }

  /// Float8 weights with scales become float16 where the output cannot hold them, which is listed.
  @Test func scaledFloatsAreMultipliedOut() async throws {
    try await withTemporaryFolder { folder in
      let scaled = folder + "/a.safetensors"
      _ = try await QuantizeJob(
        model: tiny, reading: InputOptions(),
        output: OutputRequest(path: scaled, program: "comfyui"), isDryRun: false,
        request: QuantizationRequest(type: "fp8", method: "round"), calibration: nil
      ).run()
      let held = try Readers.all.read(scaled)
      func convert(_ path: String, program: String? = nil, type: String? = nil) async throws
        -> WrittenModel
      {
        try await ConvertJob(
          model: scaled, reading: InputOptions(),
          output: OutputRequest(path: path, program: program), type: type
        ).run()
      }
      let plain = try await convert(folder + "/plain")
      let texts = plain.listedChanges.map(\.text)
      #expect(
        texts.contains { $0.contains("fp8 weights with scales multiplied out to f16") }, "\(texts)")
      _ = try await convert(folder + "/f16", type: "f16")
      #expect(
        try weights(Readers.all.read(folder + "/plain"))
          == weights(Readers.all.read(folder + "/f16")))
      // An output that holds them keeps them.
      _ = try await convert(folder + "/same.safetensors", program: "comfyui")
      #expect(try weights(Readers.all.read(folder + "/same.safetensors")) == weights(held))
    }
  }

  // MARK: - Strip

  private func stripped(_ cut: Cut) async throws -> ModelSource.Component {
    // The folder is removed at once, but the mapped files stay readable.
    try await withTemporaryFolder { folder in
      _ = try await StripJob(
        model: miniatureXL, reading: InputOptions(), output: OutputRequest(path: folder + "/a"),
        cut: cut
      ).run()
      return try #require(try Readers.all.read(folder + "/a")["unet"])
    }
  }

  @Test func recipesAndDropsAndKeptBlocks() async throws {
    let original = try #require(try Readers.all.read(miniatureXL)["unet"])
    let recipe = try await stripped(.recipe("ssd-1b"))
    let other = try await stripped(.recipe("segmind-vega"))
    #expect(other.weights.parameterCount < recipe.weights.parameterCount)
    let kept = try await stripped(.recipe("ssd-1b", keeping: [10: [3, 5]]))
    #expect(kept.weights.parameterCount < recipe.weights.parameterCount)
    // The second of the kept blocks is the original's sixth.
    let blocks = "down_blocks.2.attentions.0.transformer_blocks."
    for tensor in ["attn1.to_q.weight", "norm1.weight"] {
      #expect(
        try kept.weights.tensor(blocks + "1." + tensor).parts[0].array
          == original.weights.tensor(blocks + "5." + tensor).parts[0].array)
    }
    let drops = try await stripped(.drops(["mid_block"]))
    #expect(original.weights.names.contains { $0.hasPrefix("mid_block.") })
    #expect(!drops.weights.names.contains { $0.hasPrefix("mid_block.") })
  }
}
