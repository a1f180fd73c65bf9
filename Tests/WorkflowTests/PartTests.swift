import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// A model that is put together from parts has the facts of the whole: the scale of its latents, the
/// scheduler, the prediction type, the pipeline class, tokenizers and configs.
@Suite struct PartTests {
  private static let unet = "model.diffusion_model."
  private static let vae = "first_stage_model."
  /// A U-Net tensor whose deviation shows velocity prediction of Stable Diffusion 2.
  private static let mark = unet + "output_blocks.11.1.transformer_blocks.0.norm1.bias"

  /// The tensors of a single file with a narrow model of the family. No metadata tell its configs.
  ///
  /// - Parameter isLoud: whether the U-Net's statistic shows velocity prediction.
  private func tensors(
    _ family: String, isLoud: Bool = false, in folder: String
  ) throws -> [(String, StoredTensor)] {
    let family = try #require(Family.named(family))
    let model = try #require(try family.narrowed(kind: .f16, vocabulary: 512))
    let path = folder + "/with-metadata.safetensors"
    try CheckpointWriter().write(model, to: path, replacing: true)
    let file = try SafetensorsFile(path: path)
    return try file.names.map { name in
      let tensor = try file.tensor(name)
      guard isLoud, name == Self.mark else { return (name, tensor) }
      let numbers = (0..<tensor.shape.count).map { Float($0 % 2) }
      return (name, StoredTensor(shape: tensor.shape, floats: numbers, as: .f16))
    }
  }

  private func write(_ tensors: [(String, StoredTensor)], to path: String) throws {
    try writeSafetensors(MemorySource(location: path, tensors), to: path)
  }

  /// Writes each component of a single file as a file of its own, and returns the paths.
  ///
  /// - Parameter isBare: whether the U-Net and the autoencoder have no prefix.
  private func split(
    _ tensors: [(String, StoredTensor)], isBare: Bool, in folder: String
  ) throws -> [String: String] {
    let isXL = tensors.contains { $0.0.hasPrefix("conditioner.embedders.1.") }
    let isRefiner = !isXL && tensors.contains { $0.0.hasPrefix("conditioner.") }
    let prefixes = [
      ("unet", Self.unet), ("vae", Self.vae), ("text_encoder", "cond_stage_model."),
      (isRefiner ? "text_encoder_2" : "text_encoder", "conditioner.embedders.0."),
      ("text_encoder_2", "conditioner.embedders.1."),
    ]
    var paths: [String: String] = [:]
    for (component, prefix) in prefixes {
      let own = tensors.filter { $0.0.hasPrefix(prefix) }
      if own.isEmpty { continue }
      let dropped = isBare && [Self.unet, Self.vae].contains(prefix) ? prefix.count : 0
      let path = "\(folder)/\(component).safetensors"
      try write(own.map { (String($0.0.dropFirst(dropped)), $0.1) }, to: path)
      paths[component] = path
    }
    return paths
  }

  /// The whole that parts make, as a diffusers folder.
  private func joined(
    _ paths: [String: String], base: String = "unet", to output: String
  ) async throws -> ModelSource {
    var parts: [(component: String, path: String)] = []
    for component in ["unet", "vae", "text_encoder", "text_encoder_2"] where component != base {
      if let path = paths[component] { parts.append((component, path)) }
    }
    _ = try await ConvertJob(
      model: try #require(paths[base]),
      reading: InputOptions(composition: Composition(parts: parts)),
      output: OutputRequest(path: output), type: nil
    ).run()
    return try Readers.all.read(output)
  }

  private func expectSameFacts(_ found: ModelSource, _ expected: ModelSource) throws {
    #expect(found.components.map(\.name) == expected.components.map(\.name))
    for (part, other) in zip(found.components, expected.components) {
      #expect(part.config == other.config, "\(part.name)")
      #expect(part.className == other.className)
    }
    #expect(found.scheduler == expected.scheduler)
    #expect(found.index == expected.index)
    #expect(found.files.map(\.path) == expected.files.map(\.path))
    #expect(found.files.map(\.bytes.array) == expected.files.map(\.bytes.array))
    #expect(found.prediction?.type == expected.prediction?.type)
    #expect(found.prediction?.isCertain == expected.prediction?.isCertain)
    #expect(try weights(found) == weights(expected))
  }

  private static let cases: [(family: String, isLoud: Bool)] = [
    ("sd-v1-5", false), ("sd-v1-5-inpainting", false), ("bk-sdm-tiny", false),
    ("sd-v2-1-base", false), ("sd-v2-1", true), ("sd-v2-inpainting", false),
    ("sdxl-base-1.0", false), ("segmind-vega", false), ("sdxl-refiner-1.0", false),
  ]

  @Test(arguments: cases, [true, false])
  func partsMakeTheWhole(model: (family: String, isLoud: Bool), isBare: Bool) async throws {
    try await withTemporaryFolder { folder in
      let tensors = try tensors(model.family, isLoud: model.isLoud, in: folder)
      let file = folder + "/whole.safetensors"
      try write(tensors, to: file)
      _ = try await ConvertJob(
        model: file, reading: InputOptions(), output: OutputRequest(path: folder + "/whole"),
        type: nil
      ).run()
      let whole = try Readers.all.read(folder + "/whole")
      let isXL = model.family.hasPrefix("sdxl") || model.family == "segmind-vega"
      #expect(whole["vae"]?.config["scaling_factor"] == .number(isXL ? 0.13025 : 0.18215))
      #expect(
        whole.scheduler?["prediction_type"] == (model.isLoud ? "v_prediction" : "epsilon"))
      #expect(
        (whole.index["_class_name"]?.string ?? "").contains("Inpaint")
          == model.family.hasSuffix("inpainting"))

      let paths = try split(tensors, isBare: isBare, in: folder)
      try expectSameFacts(try await joined(paths, to: folder + "/a"), whole)
      // The facts do not depend on which part is the first.
      try expectSameFacts(try await joined(paths, base: "vae", to: folder + "/b"), whole)
    }
  }

  /// What Decant assumed of a part stays an assumption in the files that it writes of it.
  @Test func anAutoencoderThatWasAssumedIsNotStated() async throws {
    try await withTemporaryFolder { folder in
      var paths = try split(
        try tensors("sdxl-base-1.0", in: folder), isBare: true, in: folder)
      let copy = folder + "/copy.safetensors"
      _ = try await ConvertJob(
        model: try #require(paths["vae"]), reading: InputOptions(),
        output: OutputRequest(path: copy), type: nil
      ).run()
      let alone = try Readers.all.read(copy)
      #expect(alone["vae"]?.config["scaling_factor"] == 0.18215 && alone.configsAreDerived)
      paths["vae"] = copy
      let whole = try await joined(paths, to: folder + "/a")
      #expect(whole["vae"]?.config["scaling_factor"] == 0.13025)
      #expect(whole["vae"]?.config["force_upcast"] == true)
    }
  }

  /// A config that a part has itself wins.
  @Test func statedConfigsStay() async throws {
    try await withTemporaryFolder { folder in
      let tensors = try tensors("sdxl-base-1.0", in: folder)
      var paths = try split(tensors, isBare: true, in: folder)
      let first = try await joined(paths, to: folder + "/a")
      let config = folder + "/a/vae/config.json"
      let text = try String(contentsOfFile: config, encoding: .utf8)
      #expect(text.contains("0.13025"))
      try text.replacing("0.13025", with: "0.25").write(
        toFile: config, atomically: true, encoding: .utf8)
      paths["vae"] = folder + "/a/vae"
      let second = try await joined(paths, to: folder + "/b")
      #expect(second["vae"]?.config["scaling_factor"] == 0.25)
      #expect(second.scheduler == first.scheduler)
    }
  }

  /// A clip_l file of some programs has a projection that no model uses there.
  @Test func aProjectionOfTheFirstTextEncoderIsLeftOut() async throws {
    try await withTemporaryFolder { folder in
      let tensors = try tensors("sdxl-base-1.0", in: folder)
      let paths = try split(tensors, isBare: true, in: folder)
      let expected = try await joined(paths, to: folder + "/a")
      // A folder of the encoder with the class and the tensor of a projection.
      let place = folder + "/a/text_encoder"
      let encoder = try #require(expected["text_encoder"])
      let width = encoder.config["hidden_size"]?.integer ?? 0
      let projection = StoredTensor(
        shape: [width, width], floats: [Float](repeating: 0, count: width * width), as: .f16)
      let all =
        try encoder.weights.names.map { ($0, try encoder.weights.tensor($0)) }
        + [("text_projection.weight", projection)]
      try writeSafetensors(
        MemorySource(location: place, all), to: place + "/model.safetensors", replacing: true)
      let config = place + "/config.json"
      try String(contentsOfFile: config, encoding: .utf8)
        .replacing("\"CLIPTextModel\"", with: "\"CLIPTextModelWithProjection\"")
        .write(toFile: config, atomically: true, encoding: .utf8)

      var parts: [(component: String, path: String)] = [("text_encoder", place)]
      for component in ["vae", "text_encoder_2"] {
        parts.append((component, try #require(paths[component])))
      }
      let written = try await ConvertJob(
        model: try #require(paths["unet"]),
        reading: InputOptions(composition: Composition(parts: parts)),
        output: OutputRequest(path: folder + "/b"), type: nil
      ).run()
      let found = try Readers.all.read(folder + "/b")
      #expect(found["text_encoder"]?.className == "CLIPTextModel")
      #expect(found["text_encoder"]?.weights.entry("text_projection.weight") == nil)
      #expect(
        written.listedChanges.map(\.text).contains(
          "left out: text_encoder: the projection, which this text encoder does not use: "
            + "'text_projection.weight'"))
    }
  }

  // MARK: - Another U-Net

  /// Writes the U-Net of the miniature of SDXL alone, or the whole model, without metadata.
  private func unet(with markers: [String], whole: Bool = false, to path: String) throws {
    var model = try Readers.all.read(miniatureXL)
    if !whole { model.components.removeAll { $0.name != "unet" } }
    try CheckpointWriter().write(model, to: path + ".tmp.safetensors", replacing: true)
    let file = try SafetensorsFile(path: path + ".tmp.safetensors")
    let tensors = try file.names.map { ($0, try file.tensor($0)) }
    try write(tensors + markers.map { ($0, StoredTensor(shape: [1], floats: [1])) }, to: path)
  }

  private func exchanged(
    _ unet: String, into base: String, prediction: String? = nil, to output: OutputRequest
  ) async throws -> [String] {
    var reading = InputOptions(composition: Composition(parts: [("unet", unet)]))
    reading.prediction = prediction
    return try await ConvertJob(model: base, reading: reading, output: output, type: nil).run()
      .listedChanges.map(\.text)
  }

  /// The scheduler that Decant assumed of a U-Net, and stored with it, replaces no stated one. What
  /// showed the prediction type still does.
  @Test func anAssumedSchedulerIsNotStated() async throws {
    try await withTemporaryFolder { folder in
      for ending in ["safetensors", "gguf", "decant"] {
        let (marked, plain) = (
          "\(folder)/\(ending)-v.safetensors", "\(folder)/\(ending)-e.safetensors"
        )
        // A .decant file holds a whole model.
        let whole = ending == "decant"
        try unet(with: ["v_pred", "ztsnr"], whole: whole, to: marked)
        try unet(with: [], whole: whole, to: plain)
        func copy(_ path: String, _ name: String) async throws -> String {
          let copy = "\(folder)/\(name).\(ending)"
          _ = try await ConvertJob(
            model: path, reading: InputOptions(),
            output: OutputRequest(path: copy, program: ending == "gguf" ? "comfyui" : nil),
            type: nil
          ).run()
          let read = try whole ? packed(copy) : Readers.all.read(copy)
          #expect(read.schedulerIsDefault && read.indexIsDefault)
          return copy
        }
        let velocity = "\(folder)/velocity-\(ending)"
        _ = try await exchanged(
          try await copy(marked, "v2"), into: miniatureXL, to: OutputRequest(path: velocity))
        let found = try Readers.all.read(velocity)
        #expect(found.scheduler?["prediction_type"] == "v_prediction")
        #expect(found.scheduler?["rescale_betas_zero_snr"] == true)
        // All else in the scheduler's config is that of the model, not the architecture's.
        #expect(
          found.scheduler?["_class_name"]
            == (try Readers.all.read(miniatureXL)).scheduler?["_class_name"])
        let kept = try await exchanged(
          try await copy(plain, "e2"), into: velocity,
          to: OutputRequest(path: "\(folder)/kept-\(ending)"))
        #expect(
          kept.contains {
            $0.hasPrefix("assumed: unet: predicts v_prediction (taken from the model whose U-Net")
          }, "\(kept)")
        #expect(
          try Readers.all.read("\(folder)/kept-\(ending)").scheduler?["prediction_type"]
            == "v_prediction")
      }
    }
  }

  @Test func thePredictionTypeComesWithTheUNet() async throws {
    try await withTemporaryFolder { folder in
      let (marked, plain) = (folder + "/v.safetensors", folder + "/e.safetensors")
      try unet(with: ["v_pred", "ztsnr"], to: marked)
      try unet(with: [], to: plain)
      let velocity = folder + "/velocity"
      let changes = try await exchanged(
        marked, into: miniatureXL, to: OutputRequest(path: velocity))
      #expect(changes == ["changed: unet: taken from v.safetensors"])
      let found = try Readers.all.read(velocity)
      #expect(found.scheduler?["prediction_type"] == "v_prediction")
      #expect(found.scheduler?["rescale_betas_zero_snr"] == true)
      #expect(found.scheduler?["timestep_spacing"] == "trailing")
      #expect(found["unet"]?.config == (try Readers.all.read(miniatureXL))["unet"]?.config)

      // A U-Net without a mark does not show its type, so that the base's is an assumption.
      let assumed =
        "assumed: unet: predicts v_prediction (taken from the model whose U-Net was replaced, "
        + "because e.safetensors does not show it)"
      let kept = try await exchanged(
        plain, into: velocity, to: OutputRequest(path: folder + "/kept"))
      #expect(kept.contains(assumed), "\(kept)")
      #expect(
        try Readers.all.read(folder + "/kept").scheduler?["prediction_type"] == "v_prediction")
      let chosen = try await exchanged(
        plain, into: velocity, prediction: "epsilon", to: OutputRequest(path: folder + "/chosen"))
      #expect(!chosen.contains { $0.hasPrefix("assumed") }, "\(chosen)")
      #expect(try Readers.all.read(folder + "/chosen").scheduler?["prediction_type"] == "epsilon")

      // The folder of a U-Net lies beside the scheduler that belongs to it.
      _ = try await exchanged(
        velocity + "/unet", into: miniatureXL, to: OutputRequest(path: folder + "/beside"))
      #expect(try Readers.all.read(folder + "/beside").scheduler == found.scheduler)
    }
  }

  /// Other programs find velocity prediction of SDXL by tensors alone.
  @Test func velocityIsMarkedHoweverTheModelWasMade() async throws {
    try await withTemporaryFolder { folder in
      let (marked, plain) = (folder + "/v.safetensors", folder + "/e.safetensors")
      try unet(with: ["model.diffusion_model.v_pred", "model.diffusion_model.ztsnr"], to: marked)
      try unet(with: [], to: plain)
      for (name, program) in [
        ("a.safetensors", "checkpoint"), ("b.safetensors", "comfyui"), ("c.gguf", "comfyui"),
        ("d.gguf", "diffusers"),
      ] {
        let output = OutputRequest(path: folder + "/" + name, program: program)
        _ = try await exchanged(marked, into: miniatureXL, to: output)
        let names = try Archives.open(output.path).weights.names
        #expect(names.contains("v_pred") && names.contains("ztsnr"), "\(name)")
        let chosen = OutputRequest(
          path: folder + "/" + name, replacing: true, program: program)
        _ = try await exchanged(
          plain, into: miniatureXL, prediction: "v_prediction", to: chosen)
        let others = try Archives.open(chosen.path).weights.names
        #expect(others.contains("v_pred") && !others.contains("ztsnr"), "\(name)")
      }
    }
  }

  /// A pipeline class for U-Nets without a mask does not stay beside a U-Net with one.
  @Test func thePipelineClassFollowsTheUNet() async throws {
    try await withTemporaryFolder { folder in
      let plain = try tensors("sd-v1-5", in: folder)
      try write(plain, to: folder + "/plain.safetensors")
      _ = try await ConvertJob(
        model: folder + "/plain.safetensors", reading: InputOptions(),
        output: OutputRequest(path: folder + "/plain"), type: nil
      ).run()
      let masked = try split(
        try tensors("sd-v1-5-inpainting", in: folder), isBare: true, in: folder)
      _ = try await exchanged(
        try #require(masked["unet"]), into: folder + "/plain",
        to: OutputRequest(path: folder + "/masked"))
      let found = try Readers.all.read(folder + "/masked")
      #expect(found["unet"]?.config["in_channels"] == 9)
      #expect(found.index["_class_name"] == "StableDiffusionInpaintPipeline")
    }
  }

  /// EDM's noise has marks of its own, which no output holds.
  @Test func continuousNoiseIsNamed() async throws {
    try await withTemporaryFolder { folder in
      for name in ["edm_mean", "model.diffusion_model.edm_vpred.sigma_max"] {
        let path = folder + "/a.safetensors"
        try unet(with: [], to: path)
        let file = try SafetensorsFile(path: path)
        let tensors = try file.names.map { ($0, try file.tensor($0)) }
        let marked = folder + "/\(name).safetensors"
        try write(tensors + [(name, StoredTensor(shape: [1], floats: [1]))], to: marked)
        try FileManager.default.removeItem(atPath: path)
        let error = #expect(throws: SingleFileError.self) { try Readers.all.read(marked) }
        #expect(
          error?.description.contains("tensor '\(name)' marks a model trained with EDM's") == true)
      }
      var model = try Readers.all.read(miniatureXL)
      model.scheduler?["_class_name"] = "EDMEulerScheduler"
      try DiffusersFolderWriter().write(model, to: folder + "/edm")
      for name in ["a.safetensors", "a.gguf"] {
        let output = OutputRequest(
          path: folder + "/" + name, program: name.hasSuffix("gguf") ? "comfyui" : nil)
        let error = await #expect(throws: SingleFileError.self) {
          _ = try await ConvertJob(
            model: folder + "/edm", reading: InputOptions(), output: output, type: nil
          ).run()
        }
        #expect(error?.description.contains("'EDMEulerScheduler'") == true)
        #expect(!FileManager.default.fileExists(atPath: output.path))
      }
    }
  }
}
