import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Prefixes that training code puts before all names of a component, and parts within names.
struct NamePrefixTests {
  private static let unet = "model.diffusion_model."

  /// A U-Net of one level, below the prefix of LDM's.
  private static func ldm(_ prefix: String = unet) -> [String: Shape] {
    let tensors: [(String, Shape)] = [
      ("input_blocks.0.0.weight", [8, 4, 3, 3]), ("out.2.weight", [4, 8, 3, 3]),
      ("time_embed.0.weight", [32, 8]),
      ("input_blocks.1.0.in_layers.2.weight", [8, 8, 3, 3]),
      ("input_blocks.1.0.out_layers.3.weight", [8, 8, 3, 3]),
      ("output_blocks.0.0.in_layers.2.weight", [8, 16, 3, 3]),
      ("output_blocks.1.0.in_layers.2.weight", [8, 16, 3, 3]),
    ]
    return Dictionary(uniqueKeysWithValues: tensors.map { (prefix + $0.0, $0.1) })
  }

  private static func vae(_ prefix: String) -> [String: Shape] {
    let tensors: [(String, Shape)] = [
      ("encoder.conv_in.weight", [4, 3, 3, 3]), ("decoder.conv_in.weight", [4, 4, 3, 3]),
      ("encoder.down.0.block.0.conv1.weight", [4, 4, 3, 3]),
      ("decoder.up.0.block.0.conv1.weight", [4, 4, 3, 3]),
    ]
    return Dictionary(uniqueKeysWithValues: tensors.map { (prefix + $0.0, $0.1) })
  }

  private static func text(_ prefix: String, width: Int = 8) -> [String: Shape] {
    let tensors: [(String, Shape)] = [
      ("embeddings.token_embedding.weight", [5, width]),
      ("embeddings.position_embedding.weight", [3, width]),
      ("encoder.layers.0.mlp.fc1.weight", [16, width]),
    ]
    return Dictionary(uniqueKeysWithValues: tensors.map { (prefix + "text_model." + $0.0, $0.1) })
  }

  private func read(
    _ tensors: [String: Shape], average: Bool = false, shift: [String: Float] = [:]
  ) throws -> ModelSource {
    let stored = tensors.sorted { $0.key < $1.key }.map { name, shape in
      let value = shift.first { name.hasPrefix($0.key) }?.value ?? 0
      return (
        name, StoredTensor(shape: shape, floats: [Float](repeating: value, count: shape.count))
      )
    }
    return try SingleFileReader().model(
      of: Archive(weights: MemorySource(location: "f", stored), kind: "safetensors file"),
      path: "f", options: ReadOptions(ema: average))
  }

  private func names(_ model: ModelSource, _ component: String) -> [String] {
    model[component]?.weights.names.sorted() ?? []
  }

  @Test(arguments: [
    "module.", "_orig_mod.", "diffusion_model.", "model.", "first.second.third.",
    "module._orig_mod.", "_orig_mod.module.", "model.state_dict.", "student.unet.",
  ])
  func aUNetIsReadBelowAnyPrefix(prefix: String) throws {
    let plain = try read(Self.ldm())
    let model = try read(Self.ldm(prefix))
    #expect(names(model, "unet") == names(plain, "unet"))
    #expect(plain.changes.isEmpty)
    let removed = prefix.replacing("_orig_mod.", with: "")
    var expected: [String] = []
    if prefix.contains("_orig_mod") {
      expected.append("changed: '_orig_mod' was removed from tensor names")
    }
    if prefix == "student.unet." {
      // The rest is a known prefix.
      expected.append("changed: the prefix 'student.' before every name was removed")
    } else if !removed.isEmpty {
      expected.append("changed: unet: the prefix '\(removed)' before every name was removed")
    }
    #expect(model.changes.map(\.text) == expected)
  }

  /// The prefix of a part of a whole model, between or in place of the known one.
  @Test(arguments: [
    "model.diffusion_model.module.", "model.diffusion_model._orig_mod.", "diffusion_model.",
    "unet.module.", "any.",
  ])
  func aPartOfAWholeModelMayHaveAnotherPrefix(prefix: String) throws {
    let others = Self.vae("first_stage_model.").merging(
      Self.text("cond_stage_model.transformer.")
    ) { first, _ in first }
    let model = try read(others.merging(Self.ldm(prefix)) { first, _ in first })
    let plain = try read(others.merging(Self.ldm()) { first, _ in first })
    #expect(plain.components.map(\.name) == ["text_encoder", "unet", "vae"])
    #expect(model.components.map(\.name) == plain.components.map(\.name))
    for part in ["text_encoder", "unet", "vae"] {
      #expect(names(model, part) == names(plain, part))
    }
    #expect(plain.changes.isEmpty && model.changes.count == 1)
  }

  @Test(arguments: ["module.", "pipe.", "a.b.", "_orig_mod."])
  func aWholeModelMayHaveAPrefix(prefix: String) throws {
    let whole = Self.vae(prefix + "first_stage_model.")
      .merging(Self.text(prefix + "cond_stage_model.transformer.")) { first, _ in first }
      .merging(Self.ldm(prefix + Self.unet)) { first, _ in first }
    let model = try read(whole)
    #expect(model.components.map(\.name) == ["text_encoder", "unet", "vae"])
    #expect(model.changes.count == 1 && model.changes[0].kind == .changed)
    #expect(model.changes[0].text.contains(prefix.dropLast()))
  }

  @Test func wrappersMayBeAnywhereInAName() throws {
    let wrapped = Dictionary(
      uniqueKeysWithValues: Self.ldm().map { name, shape in
        (
          name.replacing("put_blocks.1.0.", with: "put_blocks.1._orig_mod.0._fsdp_wrapped_module."),
          shape
        )
      })
    #expect(names(try read(wrapped), "unet") == names(try read(Self.ldm()), "unet"))
  }

  @Test func twoNamesOfOneTensorCollide() {
    var tensors = Self.ldm()
    tensors[Self.unet + "_orig_mod.out.2.weight"] = [4, 8, 3, 3]
    #expect(
      message { _ = try read(tensors) }
        == "f: tensors 'model.diffusion_model._orig_mod.out.2.weight' and "
        + "'model.diffusion_model.out.2.weight' both map to 'conv_out.weight', expected one")
  }

  /// Of two text encoders below unknown prefixes, the second is wider.
  @Test func textEncodersAreToldApartByWidth() throws {
    let model = try read(
      Self.text("te.b.", width: 8).merging(Self.text("te.a.", width: 16)) { first, _ in first })
    #expect(model["text_encoder"]?.config["hidden_size"] == 8)
    #expect(model["text_encoder_2"]?.config["hidden_size"] == 16)
  }

  /// Two U-Nets without a sign of which is meant are not chosen from.
  @Test func ofTwoUnknownPrefixesNoneIsTaken() {
    let said = message {
      _ = try read(Self.ldm("student.").merging(Self.ldm("teacher.")) { first, _ in first })
    }
    #expect(
      said == "f: holds the tensors of component 'unet' twice, 7 below 'student.' and 7 below "
        + "'teacher.'; expected one model")
  }

  /// A layer's bias below another prefix than its weight, which would be left out.
  @Test func aComponentBelowTwoPrefixesIsNamed() throws {
    var tensors = Self.ldm()
    tensors["input_blocks.0.0.bias"] = [8]
    let error = #expect(throws: SingleFileError.self) { try read(tensors) }
    #expect(
      error?.description
        == "f: the tensors of component 'unet' are in two places, 7 below 'model.diffusion_model.' "
        + "and 1 without a prefix, such as 'input_blocks.0.0.bias'; expected all below one prefix")
    #expect(error?.remedy == .act("give all of its tensors the same prefix"))
  }

  /// Blocks below another prefix, without which there is no whole U-Net.
  @Test func aComponentInHalvesIsNamed() {
    let tensors = Self.ldm().map { name, shape in
      (name.contains("output_blocks.") ? "module." + name : name, shape)
    }
    #expect(
      message { _ = try read(Dictionary(uniqueKeysWithValues: tensors)) }
        == "f: the tensors of component 'unet' are in two places, 5 below 'model.diffusion_model.' "
        + "and 2 below 'module.model.diffusion_model.', such as "
        + "'module.model.diffusion_model.output_blocks.0.0.in_layers.2.weight'; expected all below "
        + "one prefix")
  }

  @Test(arguments: ["ema.", "ema_model.module.", "unet_ema.", "model_ema.diffusion_model."])
  func averagesMayHaveAPrefix(prefix: String) throws {
    let both = Self.ldm("model.").merging(Self.ldm(prefix)) { first, _ in first }
    for average in [false, true] {
      let model = try read(both, average: average, shift: [prefix: 1])
      let weights = try #require(model["unet"]).weights
      #expect(weights.names.count == 7)
      for name in weights.names {
        #expect(try weights.tensor(name).floats()[0] == (average ? 1 : 0), "\(name)")
      }
      #expect(model.movingAverage == (average ? .read : .ignored))
    }
    #expect(
      message { _ = try read(Self.ldm(prefix)) }
        == "f: holds a moving average of a U-Net (EMA) and no other weights of it")
    let alone = try read(Self.ldm(prefix), average: true)
    #expect(alone.movingAverage == .readWithoutOthers && alone["unet"] != nil)
  }

  @Test func aPartOfAnAverageIsListed() throws {
    var tensors = Self.ldm()
    tensors["model_ema.diffusion_modelout2weight"] = [4, 8, 3, 3]
    #expect(
      try read(tensors).changes.map(\.text) == [
        "left out: unet: an incomplete moving average, which has 1 of 7 tensors: "
          + "'model_ema.diffusion_modelout2weight'"
      ])
  }

  @Test func markersBelowAnyPrefixCount() throws {
    for prefix in ["", "model.diffusion_model.", "module.", "module.model.diffusion_model."] {
      var tensors = Self.ldm(prefix == "" ? Self.unet : prefix)
      tensors[prefix + "v_pred"] = [1]
      let model = try read(tensors)
      #expect(model.scheduler?["prediction_type"] == "v_prediction", "\(prefix)")
      #expect(names(model, "unet").count == 7)
    }
  }

  /// Marks of noise that no scheduler supports are seen below any prefix.
  @Test(arguments: ["", "module.", "model.diffusion_model."])
  func unsupportedNoiseIsRefused(prefix: String) {
    var tensors = Self.ldm(prefix == "module." ? prefix : Self.unet)
    tensors[prefix + "edm_mean"] = [4]
    #expect(
      message { _ = try read(tensors) }.hasPrefix(
        "f: tensor '\(prefix)edm_mean' marks a model trained with EDM's continuous noise"))
  }

  @Test func tensorsOfNoComponentAreListed() throws {
    var tensors = Self.ldm()
    tensors["foo.bar"] = [1]
    tensors["control_model.time_embed.0.weight"] = [2]
    #expect(
      try read(tensors).changes == [
        ModelChange(
          .leftOut, "2 tensors of no component",
          names: ["control_model.time_embed.0.weight", "foo.bar"])
      ])
  }

  /// Folders have the same mechanism.
  @Test(arguments: ["module.", "_orig_mod.", "unet.", "model.module.", "anything."])
  func foldersAreReadBelowAnyPrefix(prefix: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let tensors =
        TinyFolder.unet + [("time_embedding.linear_1.weight", counting([2, 2]))]
      try tiny.weights(tensors.map { (prefix + $0.0, $0.1) }, TinyFolder.stem + ".safetensors")
      let model = try tiny.read()
      let weights = try #require(model["unet"]).weights
      #expect(Set(weights.names) == Set(tensors.map(\.0)))
      for (name, tensor) in tensors {
        #expect(try weights.tensor(name).floats() == tensor.floats())
        #expect(weights.storedName(name) == prefix + name)
      }
      let changes = model.changes.filter { $0.component != nil }
      #expect(changes.map(\.kind) == [.changed] && changes[0].component == "unet")
    }
  }

  @Test func textEncodersAndAutoencodersInFoldersToo() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let vae = TinyFolder.vae + [("decoder.conv_in.weight", counting([1, 1, 3, 3]))]
      try tiny.weights(
        vae.map { ("module." + $0.0, $0.1) }, "vae/diffusion_pytorch_model.safetensors")
      try tiny.weights(
        TinyFolder.textEncoder.map { ("_orig_mod.clip." + $0.0, $0.1) },
        "text_encoder/model.safetensors")
      let model = try tiny.read()
      #expect(names(model, "vae") == vae.map(\.0).sorted())
      #expect(names(model, "text_encoder") == TinyFolder.textEncoder.map(\.0).sorted())
      #expect(
        model.changes.filter { $0.component != nil }.map(\.text) == [
          "changed: text_encoder: the prefix 'clip.' before every name was removed",
          "changed: text_encoder: '_orig_mod' was removed from tensor names",
          "changed: vae: the prefix 'module.' before every name was removed",
        ])
    }
  }
}
