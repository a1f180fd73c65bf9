import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Components in files of their own, and what is said after a U-Net alone is written.
@Suite struct ExtractTests {
  @discardableResult
  private func extract(
    _ part: ModelPart, of model: String, to path: String, reading: InputOptions = InputOptions(),
    type: String? = nil, program: String? = nil, replacing: Bool = false
  ) async throws -> WrittenModel {
    try await ExtractJob(
      model: model, reading: reading, part: part, output: path, program: program,
      replacing: replacing, type: type
    ).run()
  }

  /// A narrow model of a family as a diffusers folder.
  private func write(_ family: String, to path: String) throws {
    let family = try #require(Family.named(family))
    let tokenizer = try smallTokenizer()
    var model = try #require(
      try family.narrowed(kind: .f16, vocabulary: tokenizer.vocabulary, files: tokenizer.files))
    model.files.removeAll { file in
      let folder = file.path.split(separator: "/").first.map(String.init) ?? ""
      return model.index[folder]?.array?.last?.string == nil
    }
    try DiffusersFolderWriter().write(model, to: path)
  }

  /// The weights of one component of a model.
  private func weights(of component: String, in model: String) throws -> [String: [String]] {
    var alone = try Readers.all.read(model)
    alone.components.removeAll { $0.name != component }
    return try weights(alone).filter { !$0.key.hasSuffix("position_ids") }
  }

  private func weights(_ model: ModelSource) throws -> [String: [String]] {
    try WorkflowTests.weights(model)
  }

  /// Names that ComfyUI 0.33 loads. It loads none with a prefix.
  @Test(arguments: [
    (
      miniature, ModelPart.clipL, "text_encoder",
      "text_model.encoder.layers.0.self_attn.q_proj.bias"
    ),
    (miniature, .textEncoder, "text_encoder", "text_model.embeddings.token_embedding.weight"),
    (miniature, .vae, "vae", "decoder.mid.attn_1.q.weight"),
    (miniature, .vae, "vae", "post_quant_conv.weight"),
    (miniature, .unet, "unet", "input_blocks.0.0.weight"),
    (miniatureXL, .clipL, "text_encoder", "text_model.final_layer_norm.weight"),
    (miniatureXL, .clipG, "text_encoder_2", "text_model.encoder.layers.4.mlp.fc1.weight"),
    (miniatureXL, .clipG, "text_encoder_2", "text_projection.weight"),
    (miniatureXL, .textEncoder, "text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight"),
    (miniatureXL, .unet, "unet", "label_emb.0.0.weight"),
  ])
  func namesHaveNoPrefixAndEveryBitIsReadBack(
    model: String, part: ModelPart, component: String, name: String
  ) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let written = try await extract(part, of: model, to: path)
      #expect(written.parts.map(\.name) == [component] && written.isPart)
      let file = try Archives.open(path).weights
      #expect(file.names.contains(name), "\(file.names.prefix(5))")
      let beginnings = Set(file.names.map { $0.prefix { $0 != "." } })
      #expect(
        beginnings.isDisjoint(with: [
          "model", "first_stage_model", "cond_stage_model", "conditioner", "vae", "unet",
        ]))
      let copy = try Readers.all.read(path)
      #expect(copy.components.map(\.name) == [component])
      #expect(try weights(copy) == weights(of: component, in: model))
      #expect(copy.components[0].config == (try Readers.all.read(model))[component]?.config)
    }
  }

  /// ComfyUI reads CLIP-G's projection as transformers stores it, not as OpenCLIP does.
  @Test func theProjectionIsNotTransposed() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/clip_g.safetensors"
      try await extract(.clipG, of: miniatureXL, to: path)
      let encoder = try #require(try Readers.all.read(miniatureXL)["text_encoder_2"])
      let name = "text_projection.weight"
      let found = try Archives.open(path).weights.tensor(name)
      #expect(found.parts.map(\.array) == (try encoder.weights.tensor(name)).parts.map(\.array))
    }
  }

  /// The options that take components accept each file.
  @Test(arguments: [miniature, miniatureXL])
  func componentsMakeTheModelAgain(model: String) async throws {
    try await withTemporaryFolder { folder in
      var parts: [(component: String, path: String)] = []
      for component in try Readers.all.read(model).components.map(\.name) {
        let part: ModelPart =
          switch component {
          case "text_encoder": .clipL
          case "text_encoder_2": .clipG
          case "vae": .vae
          default: .unet
          }
        let path = folder + "/\(component).safetensors"
        try await extract(part, of: model, to: path)
        if part != .unet { parts.append((component, path)) }
      }
      let whole = folder + "/whole"
      _ = try await ConvertJob(
        model: folder + "/unet.safetensors",
        reading: InputOptions(composition: Composition(parts: parts)),
        output: OutputRequest(path: whole), type: nil
      ).run()
      #expect(try weights(Readers.all.read(whole)) == weights(Readers.all.read(model)))
    }
  }

  /// ComfyUI finds velocity prediction and zero terminal SNR by tensors beside those of the U-Net.
  @Test func velocityIsMarkedInUNetsOfSDXL() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/unet.safetensors"
      let velocity = InputOptions(prediction: "v_prediction")
      try await extract(.unet, of: miniatureXL, to: path, reading: velocity)
      #expect(try Archives.open(path).weights.names.contains("v_pred"))
      #expect(try Readers.all.read(path).scheduler?["prediction_type"] == "v_prediction")
      try await extract(.unet, of: miniatureXL, to: path, replacing: true)
      #expect(try !Archives.open(path).weights.names.contains("v_pred"))
      try await extract(.clipG, of: miniatureXL, to: path, reading: velocity, replacing: true)
      #expect(try !Archives.open(path).weights.names.contains("v_pred"))
    }
  }

  /// OpenCLIP-H has no name of its own, and the refiner has CLIP-G alone.
  @Test(arguments: [
    ("sd-v2-1", ModelPart.textEncoder, "text_encoder", ["text-encoder", "vae", "unet"]),
    (
      "sdxl-refiner-1.0", .clipG, "text_encoder_2", ["clip-g", "text-encoder", "vae", "unet"]
    ),
  ])
  func modelsWithoutCLIPL(
    family: String, part: ModelPart, component: String, names: [String]
  ) async throws {
    try await withTemporaryFolder { folder in
      let (model, path) = (folder + "/model", folder + "/a.safetensors")
      try write(family, to: model)
      let error = await #expect(throws: JobError.self) {
        try await extract(.clipL, of: model, to: path)
      }
      #expect(error?.description == "\(model): the model has no clip-l")
      #expect(error?.remedy == .choose(.component, names))
      #expect(!FileManager.default.fileExists(atPath: path))
      try await extract(part, of: model, to: path)
      let names = try Archives.open(path).weights.names
      #expect(names.allSatisfy { $0.hasPrefix("text_model.") || $0 == "text_projection.weight" })
      #expect(try weights(Readers.all.read(path)) == weights(of: component, in: model))
    }
  }

  @Test func optionsChangeWhatIsWritten() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try await extract(.vae, of: tiny, to: path)
      let standard = try contents(path)
      await #expect(throws: FileError(.exists, path)) {
        try await extract(.vae, of: tiny, to: path, type: "bf16")
      }
      #expect(try contents(path) == standard)
      try await extract(.vae, of: tiny, to: path, type: "bf16", replacing: true)
      let file = try Archives.open(path).weights
      #expect(Set(file.names.compactMap { file.entry($0)?.encoding.name }) == ["bf16"])
      let other = InputOptions(composition: Composition(parts: [("vae", miniature)]))
      try await extract(.vae, of: tiny, to: path, reading: other, replacing: true)
      #expect(try weights(Readers.all.read(path)) == weights(of: "vae", in: miniature))
    }
  }

  @Test func otherEndingsAndQuantizedWeightsAreRefused() async throws {
    try await withTemporaryFolder { folder in
      let ending = await #expect(throws: JobError.self) {
        try await extract(.vae, of: tiny, to: folder + "/vae.gguf")
      }
      #expect(ending?.description.hasSuffix("expected one that ends in .safetensors") == true)
      let quantized = folder + "/a.decant"
      _ = try await QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: quantized),
        isDryRun: false, request: QuantizationRequest(type: "int8", method: "round"),
        calibration: nil
      ).run()
      let path = folder + "/unet.safetensors"
      let error = await #expect(throws: JobError.self) {
        try await extract(.unet, of: quantized, to: path)
      }
      let first = try firstQuantized(quantized)
      #expect(
        error?.description
          == "\(path): a safetensors file of one component cannot hold int8 weights, such as tensor "
          + "'\(first)' of component 'unet'")
      #expect(
        error?.remedy == .either([.choose(.program, ["comfyui"]), .choose(.type, ["f16"])]))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.decant"])
      try await extract(.unet, of: quantized, to: path, type: "f16")
      // The other components are plain.
      try await extract(.vae, of: quantized, to: folder + "/vae.safetensors")
    }
  }

  @Test func aComponentWithAFaultIsRefused() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/model"
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: path), type: nil
      ).run()
      let weights = path + "/vae/diffusion_pytorch_model.safetensors"
      let file = try SafetensorsFile(path: weights)
      let left = try file.names.dropFirst().map { ($0, try file.tensor($0)) }
      try writeSafetensors(
        MemorySource(location: weights, left), to: folder + "/vae.safetensors")
      try FileManager.default.removeItem(atPath: weights)
      try FileManager.default.moveItem(atPath: folder + "/vae.safetensors", toPath: weights)
      await #expect(throws: BindingError.self) {
        try await extract(.vae, of: path, to: folder + "/a.safetensors")
      }
      // The U-Net has no fault.
      try await extract(.unet, of: path, to: folder + "/a.safetensors")
    }
  }

  // MARK: - Results

  /// A file for ComfyUI-GGUF holds the U-Net alone, and is compared with the U-Net of the model.
  @Test func aUNetAloneIsNotComparedWithTheModel() async throws {
    try await withTemporaryFolder { folder in
      func converted(_ name: String, program: String? = nil) async throws -> WrittenModel {
        try await ConvertJob(
          model: miniature, reading: InputOptions(),
          output: OutputRequest(path: folder + "/" + name, program: program), type: nil
        ).run()
      }
      let whole = try await converted("a.decant")
      #expect(whole.parts.map(\.name) == ["text_encoder", "unet", "vae"])
      #expect(!whole.isPart && whole.missingParts.isEmpty && whole.json["missing_parts"] == nil)
      #expect(!whole.text.contains("alone"))

      let alone = try await converted("a.gguf", program: "comfyui")
      #expect(alone.isPart && alone.missingParts == [.clipL, .vae])
      #expect(alone.json["missing_parts"] == ["clip-l", "vae"])
      let part = try #require(alone.parts.first)
      #expect(alone.parts.count == 1 && part.name == "unet")
      let percent = 100 * alone.bytesOfOutput / part.bytesBefore
      #expect((95...115).contains(percent))
      #expect(alone.text.contains(", U-Net alone, was \(formatted(bytes: part.bytesBefore)) ("))
      #expect(!alone.text.contains("text_encoder") && !alone.text.contains("vae"))
      // The other components are still part of the estimate.
      #expect(alone.memory != nil)

      let path = folder + "/unet.safetensors"
      let extracted = try await extract(.unet, of: miniatureXL, to: path)
      #expect(extracted.missingParts == [.clipL, .clipG, .vae] && extracted.memory == nil)
      let again = try await extract(.unet, of: path, to: folder + "/again.safetensors")
      #expect(!again.isPart && again.missingParts.isEmpty)
      #expect(try weights(Readers.all.read(path)) == weights(of: "unet", in: miniatureXL))
    }
  }
}
