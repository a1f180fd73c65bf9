import Checkpoints
import ModelSources
import Support
import Tensors
import Testing

/// Models that a program does not recognize: the texts of the refusals and notes.
struct ProfileRefusalTests {
  /// A model without weights.
  ///
  /// - Parameters:
  ///   - layers: `layers_per_block`.
  ///   - depths: `transformer_layers_per_block`.
  ///   - reverse: `reverse_transformer_layers_per_block`.
  ///   - attentions: whether each level has attentions.
  ///   - mid: `mid_block_type`.
  private func model(
    layers: JSONValue, depths: JSONValue = 1, attentions: [Bool] = [true, true, true, false],
    mid: JSONValue = "UNetMidBlock2DCrossAttn", isXL: Bool = false, textWidth: Int = 768,
    channels: Int = 4, prediction: String = "epsilon", hasText: Bool = true,
    reverse: JSONValue? = nil
  ) -> ModelSource {
    let types = attentions.map { $0 ? "CrossAttnDownBlock2D" : "DownBlock2D" }
    var unet: JSONObject = [
      "layers_per_block": layers, "transformer_layers_per_block": depths,
      "down_block_types": .strings(types),
      "up_block_types": .strings(types.reversed().map { $0.replacing("Down", with: "Up") }),
      "mid_block_type": mid, "cross_attention_dim": .integer(textWidth),
      "in_channels": .integer(channels),
    ]
    if let reverse { unet["reverse_transformer_layers_per_block"] = reverse }
    if isXL { unet["addition_embed_type"] = "text_time" }
    let components = [("unet", unet)] + (hasText ? [("text_encoder", [:] as JSONObject)] : [])
    return ModelSource(
      location: "m", layout: "memory", index: [:],
      components: components.map { name, config in
        ModelSource.Component(
          name: name, className: "", config: config, weights: MemorySource(location: "m", []))
      }, scheduler: ["prediction_type": .string(prediction)], files: [])
  }

  private func xl(
    _ depths: JSONValue, layers: JSONValue = 2, mid: JSONValue = "UNetMidBlock2DCrossAttn",
    hasText: Bool = true, reverse: JSONValue? = nil
  ) -> ModelSource {
    model(
      layers: layers, depths: depths, attentions: [false, true, true], mid: mid, isXL: true,
      hasText: hasText, reverse: reverse)
  }

  private func profile(_ program: String, _ writer: any ModelWriter) throws -> any OutputProfile {
    try writer.profile(WriteOptions(program: program))
  }

  // MARK: - stable-diffusion.cpp

  @Test func stableDiffusionCppLoadsTheModelsOfItsTable() throws {
    let cpp = try profile("sdcpp", GGUFWriter())
    let loaded = [
      model(layers: 2), model(layers: [2, 2, 2, 2]),
      model(layers: 1, attentions: [true, true, true], mid: .null),
      xl([1, 2, 10]), xl([1, 1, 2], mid: "UNetMidBlock2D"),
      xl([1, 2, 4], mid: "UNetMidBlock2D", reverse: [[4, 4, 10], [2, 1, 1], 1]),
    ]
    #expect(loaded.map(cpp.refusal) == loaded.map { _ in nil })
  }

  /// The sentence names every number that is compared, so that it does not contradict itself.
  @Test func stableDiffusionCppStatesDepthsAndTheMidBlock() throws {
    let cpp = try profile("sdcpp", GGUFWriter())
    let complete =
      "; it loads complete U-Nets of Stable Diffusion 1 and 2 and those of BK-SDM Tiny"
    let start = "a U-Net with transformer depths "
    #expect(
      cpp.refusal(model(layers: 1, mid: .null))
        == start + "[[1], [1], [1], [0]] and no mid block" + complete)
    #expect(
      cpp.refusal(model(layers: 2, depths: 2))
        == start + "[[2, 2], [2, 2], [2, 2], [0, 0]] and 2 in the mid block" + complete)
    #expect(
      cpp.refusal(model(layers: 2, mid: "UNetMidBlock2D"))
        == start + "[[1, 1], [1, 1], [1, 1], [0, 0]] and a mid block without attention" + complete)
    #expect(
      cpp.refusal(xl([1, 2, 10], mid: "UNetMidBlock2D"))
        == start + "[[0, 0], [2, 2], [10, 10]] and a mid block without attention; it loads SDXL, "
        + "SSD-1B and Vega")
    #expect(
      cpp.refusal(xl([0, 2, 5], layers: 1, mid: .null))
        == start + "[[0], [2], [5]] and no mid block; it loads SDXL, SSD-1B and Vega")
    #expect(
      cpp.refusal(xl([1, 2, 10], hasText: false))
        == "SDXL's U-Net without its text encoders")
  }

  /// Attentions of the up blocks that have lost transformer blocks.
  @Test func stableDiffusionCppLoadsNoOtherUpBlocks() throws {
    let cpp = try profile("sdcpp", GGUFWriter())
    #expect(
      cpp.refusal(model(layers: 2, reverse: [1, [0, 1, 1], 1, 1]))
        == "a U-Net with transformer depths [[1, 1], [1, 1], [1, 1], [0, 0]], 1 in the mid block and "
        + "[[0, 0, 0], [0, 1, 1], [1, 1, 1], [1, 1, 1]] in the up blocks; it loads complete U-Nets of "
        + "Stable Diffusion 1 and 2 and those of BK-SDM Tiny")
    let refusal = cpp.refusal(xl([1, 2, 10], reverse: [9, 2, 1]))
    #expect(refusal?.contains("and [[9, 9, 9], [2, 2, 2], [0, 0, 0]] in the up blocks; ") == true)
  }

  /// Of models that it loads, and not of the first text encoder or of a U-Net alone.
  @Test func itsFaultWithSingleFilesOfSDXLIsNoted() throws {
    let single = try profile("checkpoint", CheckpointWriter())
    let note =
      "stable-diffusion.cpp does not transpose 'text_projection' of single files of SDXL, so that its "
      + "images differ; for it, give the output the ending .gguf"
    for (depths, notes) in [([1, 2, 10], [note]), ([1, 2, 3], nil)] as [(JSONValue, [String]?)] {
      var whole = xl(depths)
      #expect(!single.notes(whole).contains(note))
      let second = try #require(whole["text_encoder"])
      whole.components.append(
        ModelSource.Component(
          name: "text_encoder_2", className: "", config: [:], weights: second.weights))
      #expect(single.notes(whole).contains(note) == (notes != nil))
      if let notes { #expect(single.notes(whole) == notes) }
      #expect(try !profile("comfyui", CheckpointWriter()).notes(whole).contains(note))
    }
    #expect(single.notes(model(layers: 2)).isEmpty)
  }

  // MARK: - ComfyUI

  /// ComfyUI recognizes models alike in every file.
  @Test func comfyUIRefusesTheSameModelsInBothLayouts() throws {
    let native = try profile("comfyui", CheckpointWriter())
    let gguf = try profile("comfyui", GGUFWriter())
    let velocity = "v_prediction"
    let cases: [(model: ModelSource, refusal: String?)] = [
      // An identity is only in the way of an upsampler.
      (model(layers: 2, reverse: [1, [0, 1, 1], 1, [1, 1, 0]]), nil),
      (
        model(layers: 2, reverse: [1, [1, 1, 0], 1, 1]),
        "a U-Net with an upsampler after an attention without transformer blocks"
      ),
      (model(layers: 1), nil), (xl([1, 2, 10]), nil), (xl([1, 2, 10], hasText: false), nil),
      (xl([1, 2, 4], mid: "UNetMidBlock2D"), nil), (xl([1, 1, 2]), nil),
      (xl([0, 2, 5], layers: 1, mid: .null), nil), (xl([0, 2, 6], layers: 1, mid: .null), nil),
      (
        xl([1, 2, 3]),
        "a U-Net with transformer depths [0, 0, 2, 2, 3, 3]; it loads SDXL, SDXL's refiner, SSD-1B, "
          + "Vega, KOALA-700M and KOALA-1B"
      ),
      (model(layers: 2, textWidth: 1024, prediction: velocity, hasText: false), nil),
      (model(layers: 1, textWidth: 1024, hasText: false), nil),
    ]
    for (model, refusal) in cases {
      #expect(native.refusal(model) == refusal)
      #expect(gguf.refusal(model) == refusal)
      // Programs beside ComfyUI read these files too, so that it is a note.
      let note = refusal.map { ["ComfyUI cannot load \($0)"] } ?? []
      for writer in [CheckpointWriter(), Writers.component] as [any ModelWriter] {
        let other = try writer.profile(WriteOptions())
        #expect(other.refusal(model) == nil)
        #expect(other.notes(model) == note)
      }
    }
  }

  /// ComfyUI finds velocity prediction in complete U-Nets of Stable Diffusion 2 and in SDXL.
  @Test func comfyUITakesOtherVelocityModelsForEpsilon() throws {
    let velocity = "v_prediction"
    func sd2(_ layers: JSONValue, channels: Int = 4, _ prediction: String) -> ModelSource {
      model(
        layers: layers, textWidth: 1024, channels: channels, prediction: prediction,
        hasText: false)
    }
    let note = [
      "ComfyUI takes this model, which predicts the velocity, for one that predicts epsilon: add the "
        + "node ModelSamplingDiscrete with v_prediction"
    ]
    let cases: [(model: ModelSource, notes: [String])] = [
      (model(layers: 2, prediction: velocity), note),
      (model(layers: 1, prediction: velocity), note),
      (model(layers: 2), []), (sd2(2, velocity), []), (sd2(1, "epsilon"), []),
      (sd2(1, velocity), note),
      (sd2(2, channels: 9, velocity), note), (sd2(2, channels: 9, "epsilon"), []),
    ]
    for (model, notes) in cases {
      for profile in try [
        profile("comfyui", CheckpointWriter()), profile("comfyui", GGUFWriter()),
        CheckpointWriter().profile(WriteOptions()), Writers.component.profile(WriteOptions()),
        Writers.component.profile(WriteOptions(program: "comfyui")),
      ] {
        #expect(profile.refusal(model) == nil)
        #expect(profile.notes(model) == notes, "\(profile.container)")
      }
    }
  }

  @Test func aComponentOfAConsistencyModelIsNoted() throws {
    var consistent = model(layers: 2, hasText: false)
    consistent["unet"]?.config["time_cond_proj_dim"] = 256
    let notes = try Writers.component.profile(WriteOptions()).notes(consistent)
    #expect(
      notes == [
        "ComfyUI ignores the guidance embedding of this latent consistency model, the tensor "
          + "'time_embedding.cond_proj.weight'"
      ])
    consistent.components = []
    #expect(try Writers.component.profile(WriteOptions()).notes(consistent).isEmpty)
  }

  // MARK: - Models without a U-Net

  @Test func aModelWithoutAUNetIsRefusedByPrograms() throws {
    var part = model(layers: 2)
    part["unet"] = nil
    let refusals = OutputProfiles.all.map { $0.refusal(part) }
    let none = "a model without a U-Net"
    #expect(refusals == [nil, nil, nil, none, none, none, none, nil, nil])
  }

  // MARK: - diffusers

  /// The conversion of names fails for a list, also one of equal numbers.
  @Test(arguments: [[2, 1, 2, 2], [2, 2, 2, 2]] as [JSONValue])
  func aListOfLayersIsRefusedByDiffusers(layers: JSONValue) throws {
    let diffusers = try profile("diffusers", GGUFWriter())
    #expect(diffusers.refusal(model(layers: 2)) == nil)
    #expect(
      diffusers.refusal(model(layers: layers))
        == "a U-Net whose 'layers_per_block' is a list; its from_single_file expects one number")
  }
}
