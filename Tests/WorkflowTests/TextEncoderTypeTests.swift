import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Types of text encoders: what they change, which layouts hold them, and that they run.
@Suite struct TextEncoderTypeTests {
  private func request(_ textEncoderType: String?, type: String = "int8") -> QuantizationRequest {
    QuantizationRequest(type: type, textEncoderType: textEncoderType, method: "round")
  }

  private func quantize(
    _ model: String, _ request: QuantizationRequest, to output: OutputRequest?,
    isDryRun: Bool = false
  ) async throws -> QuantizeOutcome {
    try await QuantizeJob(
      model: model, reading: InputOptions(), output: output, isDryRun: isDryRun,
      request: request, calibration: nil
    ).run()
  }

  /// The encodings of a component's tensors, by name.
  private func encodings(_ weights: any WeightSource) -> [String: String] {
    Dictionary(
      uniqueKeysWithValues: weights.names.map { ($0, weights.entry($0)?.encoding.name ?? "") })
  }

  @Test(arguments: [
    (miniature, ["text_encoder"]), (miniatureXL, ["text_encoder", "text_encoder_2"]),
  ])
  func linearLayersAreQuantized(model: String, components: [String]) async throws {
    try await withTemporaryFolder { folder in
      let (plain, int8) = (folder + "/plain.decant", folder + "/int8.decant")
      _ = try await quantize(model, request(nil), to: OutputRequest(path: plain))
      let out = try await quantize(model, request("INT8"), to: OutputRequest(path: int8))
      let (before, after) = (try packed(plain), try packed(int8))
      for name in components {
        let encoder = try #require(after[name]).weights
        for (tensor, encoding) in encodings(encoder) {
          let isLinear =
            tensor.hasSuffix("weight") && !tensor.contains("norm") && !tensor.contains("embedding")
          #expect(encoding == (isLinear ? "int8" : "f16"), "\(tensor)")
        }
        let old = try #require(before[name]).weights
        #expect(Set(encodings(old).values) == ["f16"])
        #expect(encoder.byteCount < old.byteCount)
      }
      let others = { (model: ModelSource) in
        try weights(model).filter { !$0.key.hasPrefix("text_encoder") }
      }
      #expect(try others(before) == others(after))

      let step = try #require(after.provenance["steps"]?.array?.last)
      #expect(step["type"] == "int8" && step["text_encoder_type"] == "int8")
      #expect(before.provenance["steps"]?.array?.last?["text_encoder_type"] == nil)
      let ledger = try #require(step["ledger"]?.array)
      #expect(
        Set(ledger.filter { $0["after"] == "int8" }.compactMap { $0["component"]?.string })
          == Set(components + ["unet"]))
      let groups = try #require(out.json["quantize"]?["plan"]?.array)
      #expect(Set(groups.compactMap { $0["component"]?.string }) == Set(components + ["unet"]))
      for name in components {
        #expect(out.text.contains(" quantized tensors of \(name): mean "), "\(out.text)")
      }
    }
  }

  /// Weights are widened as the encoder runs.
  @Test func aQuantizedTextEncoderRuns() async throws {
    try await withTemporaryFolder { folder in
      let (path, input) = (folder + "/int8.decant", folder + "/in.safetensors")
      _ = try await quantize(miniature, request("int8"), to: OutputRequest(path: path))
      let tokens = Tensor(shape: [1, 6], values: [623, 17, 301, 42, 5, 624])
      try writeSafetensors(
        MemorySource(location: input, [("input_ids", StoredTensor(tokens))]), to: input)
      func states(_ model: String, _ name: String) async throws -> [Float] {
        let output = folder + "/\(name).safetensors"
        _ = try await ForwardJob(
          model: model, reading: InputOptions(), compute: .f32, component: .textEncoder,
          inputs: input, output: output, replacing: false
        ).run()
        return try SafetensorsFile(path: output).tensor("last_hidden_state").floats()
      }
      let error = try await relativeError(states(path, "a"), states(miniature, "b"))
      #expect(error > 1e-5 && error < 0.03, "\(error)")
    }
  }

  /// The type of plain numbers is that of the whole encoder.
  @Test func plainTypesApplyToTheWholeEncoder() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      _ = try await quantize(tiny, request("fp32"), to: OutputRequest(path: path))
      let model = try packed(path)
      #expect(try Set(encodings(#require(model["text_encoder"]).weights).values) == ["f32"])
      #expect(try Set(encodings(#require(model["vae"]).weights).values) == ["f16"])
    }
  }

  /// stable-diffusion.cpp reads matrices in blocks, and embeddings as plain numbers.
  @Test func stableDiffusionCppReadsBlocks() async throws {
    try await withTemporaryFolder { folder in
      let (path, plain) = (folder + "/a.gguf", folder + "/b.gguf")
      _ = try await quantize(miniature, request("int8"), to: OutputRequest(path: path))
      _ = try await quantize(miniature, request(nil), to: OutputRequest(path: plain))
      let (file, other) = (try Archives.open(path).weights, try Archives.open(plain).weights)
      #expect(file.names == other.names)
      let prefix = "cond_stage_model.transformer.text_model."
      for name in file.names where name.hasPrefix(prefix) {
        let isLinear = file.entry(name)?.shape.rank == 2 && !name.contains("embedding")
        #expect(file.entry(name)?.encoding.name == (isLinear ? "int8-g32" : "f16"), "\(name)")
        #expect(other.entry(name)?.encoding.name == "f16")
      }
      let layer = "text_model.encoder.layers.0.mlp.fc1.weight"
      let encoder = try #require(try Readers.all.read(path)["text_encoder"])
      let original = try #require(try Readers.all.read(miniature)["text_encoder"])
      let error = relativeError(
        try encoder.weights.tensor(layer).floats(), try original.weights.tensor(layer).floats())
      #expect(error > 1e-5 && error < 0.02, "\(error)")
    }
  }

  @Test func foldersForSDNQHoldInt8() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a"
      _ = try await quantize(
        miniature, request("int8"), to: OutputRequest(path: path, program: "sdnq"))
      let text = try String(contentsOfFile: path + "/text_encoder/config.json", encoding: .utf8)
      let quantization = try JSONValue(parsing: text).object?["quantization_config"]?.object
      let plain = quantization?["modules_to_not_convert"]?.array
      #expect(
        plain?.compactMap(\.string).sorted() == [
          "text_model.embeddings.position_embedding.weight",
          "text_model.embeddings.token_embedding.weight",
        ])
      let encoder = try #require(try Readers.all.read(path)["text_encoder"])
      let layer = "text_model.encoder.layers.0.self_attn.q_proj.weight"
      #expect(encoder.weights.entry(layer)?.encoding == .int8)
    }
  }

  /// The description and the remedy of a refusal before anything is written, without the path.
  private func refusal(
    _ request: QuantizationRequest, _ name: String, _ program: String?
  ) async throws -> (description: String, remedy: Remedy?) {
    try await withTemporaryFolder { folder in
      let output = OutputRequest(path: folder + "/" + name, program: program)
      let log = EventLog()
      var found: [JobError?] = []
      for isDryRun in [true, false] {
        let job = QuantizeJob(
          model: miniature, reading: InputOptions(), output: output, isDryRun: isDryRun,
          request: request, calibration: nil)
        found.append(await #expect(throws: JobError.self) { _ = try await job.run(log.add) })
      }
      #expect(log.isEmpty && found[0] == found[1])
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
      let error = try #require(found[0])
      return (error.description.replacingOccurrences(of: output.path, with: "OUT"), error.remedy)
    }
  }

  /// The remedies are the layouts that hold the type.
  @Test(
    arguments: [
      (
        "a.gguf", "comfyui", "GGUF file for ComfyUI-GGUF",
        [.choose(.program, ["sdcpp"])]
      ),
      (
        "a.safetensors", nil, "single-file checkpoint",
        [.choose(.outputFormat, ["decant", "gguf"])]
      ),
      (
        "a", nil, "diffusers folder",
        [.choose(.program, ["sdnq"]), .choose(.outputFormat, ["decant", "gguf"])]
      ),
    ] as [(String, String?, String, [Remedy])])
  func otherLayoutsAreRefused(
    name: String, program: String?, layout: String, remedies: [Remedy]
  ) async throws {
    let found = try await refusal(request("int8", type: "f16"), name, program)
    #expect(
      found.description
        == "OUT: a \(layout) cannot hold int8 weights of component 'text_encoder'")
    #expect(found.remedy == .either(remedies + [.leaveOut(.textEncoderType)]))
  }

  /// A type that a program does not read, and a component that it does not read in any type.
  @Test func otherTypesAndProgramsAreRefused() async throws {
    let narrow = try await refusal(request("int4-g64"), "a.gguf", nil)
    #expect(
      narrow.description
        == "OUT: a GGUF file for stable-diffusion.cpp cannot hold int4-g64 weights of component "
        + "'text_encoder'")
    let plain = try await refusal(request("f32"), "a.gguf", "comfyui")
    #expect(
      plain.description
        == "OUT: a GGUF file for ComfyUI-GGUF cannot hold f32 weights of component 'text_encoder'")
  }

  @Test func unknownTypesAreRefused() async throws {
    let error = await #expect(throws: JobError.self) {
      _ = try await quantize(tiny, request("int3"), to: nil, isDryRun: true)
    }
    #expect(
      error?.description.hasPrefix(
        "type 'int3' is unknown (did you mean 'int5', 'int6' or 'int8'?); expected f32, ")
        == true)
  }

  @Test func aDryRunShowsTheComponents() async throws {
    let one = try await quantize(tiny, request(nil), to: nil, isDryRun: true)
    let components = { (out: QuantizeOutcome) in
      Set(out.json["plan"]?.array?.compactMap { $0["component"]?.string } ?? [])
    }
    #expect(components(one) == ["unet"] && one.text.contains("\nscheme "))
    let both = try await quantize(tiny, request("int8-g32"), to: nil, isDryRun: true)
    #expect(components(both) == ["unet", "text_encoder"])
    #expect(both.text.contains("\ncomponent "), "\(both.text)")
    let layer = both.json["plan"]?.array?.first {
      $0["tensor"] == "text_model.encoder.layers.0.mlp.fc1.weight"
    }
    #expect(layer?["scheme"] == "int8-g32" && layer?["reason"] == "linear layer")
  }

  @Test func shrinkQuantizesTextEncoders() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      _ = try await ShrinkJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: path), cut: nil,
        quantization: request("int8"), calibration: nil, calibrating: smallCalibration,
        verification: smallVerification, report: nil
      ).run()
      let encoder = try #require(try packed(path)["text_encoder"])
      let layer = "text_model.encoder.layers.0.mlp.fc1.weight"
      #expect(encoder.weights.entry(layer)?.encoding == .int8)
    }
  }
}
