import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import Testing
import Workflow

/// A quantized U-Net without the other components, and what is said of layers that stay as they are.
@Suite struct UNetAloneTests {
  private static let layer = "down_blocks.2.attentions.0.transformer_blocks.0.attn1.to_q.weight"
  private static let layerInComfyUI = "input_blocks.7.1.transformer_blocks.0.attn1.to_q."

  @discardableResult
  private func extract(
    of model: String, to path: String, type: String? = nil, program: String? = nil
  ) async throws -> WrittenModel {
    try await ExtractJob(
      model: model, reading: InputOptions(), part: .unet, output: path, program: program,
      replacing: false, type: type
    ).run()
  }

  private func quantize(
    _ model: String, to path: String, _ request: QuantizationRequest, program: String? = nil,
    isDryRun: Bool = false
  ) async throws -> [String] {
    let log = EventLog()
    _ = try await QuantizeJob(
      model: model, reading: InputOptions(), output: OutputRequest(path: path, program: program),
      isDryRun: isDryRun, request: request, calibration: nil
    ).run(log.add)
    return log.notes
  }

  /// The weights of the U-Net in a file.
  private func unet(_ path: String) throws -> [String: [String]] {
    try weights(Readers.all.read(path)).filter { $0.key.hasPrefix("unet/") }
  }

  /// The layers are those of the whole model.
  @Test(arguments: [("safetensors", "int8", " int8"), ("gguf", "int8", " int8-g32")])
  func aUNetAloneIsQuantizedForComfyUI(
    ending: String, type: String, stored: String
  ) async throws {
    try await withTemporaryFolder { folder in
      let request = QuantizationRequest(type: type, method: "round")
      let (alone, whole) = ("\(folder)/alone.\(ending)", "\(folder)/whole.\(ending)")
      try await extract(of: miniature, to: folder + "/unet.safetensors")
      _ = try await quantize(
        folder + "/unet.safetensors", to: alone, request, program: "comfyui")
      _ = try await quantize(miniature, to: whole, request, program: "comfyui")
      let found = try unet(alone)
      #expect(try found == unet(whole))
      #expect(found["unet/" + Self.layer]?.first?.hasSuffix(stored) == true)
      #expect(try Readers.all.read(alone).components.map(\.name) == ["unet"])
    }
  }

  /// From a whole model, and from a file that holds it quantized, with the same bits.
  @Test func aQuantizedUNetIsExtractedForComfyUI() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/unet.safetensors"
      let written = try await extract(of: miniature, to: path, type: "int8", program: "comfyui")
      #expect(written.details.map(\.name) == ["quantize"])
      let file = try SafetensorsFile(path: path)
      #expect(
        ["weight", "weight_scale", "comfy_quant"].map {
          file.entry(Self.layerInComfyUI + $0)?.encoding.name
        } == ["i8", "f32", "u8"])
      let kernel = "input_blocks.1.0.in_layers.2.weight"
      #expect(file.entry(kernel)?.encoding == .plain(.f16))

      let whole = folder + "/whole.safetensors"
      _ = try await quantize(
        miniature, to: whole, QuantizationRequest(type: "int8"), program: "comfyui")
      #expect(try unet(path) == unet(whole))
      let again = folder + "/again.safetensors"
      try await extract(of: whole, to: again, program: "comfyui")
      let copy = try SafetensorsFile(path: again)
      #expect(copy.names == file.names)
      for name in file.names {
        let (found, expected) = (try copy.tensor(name), try file.tensor(name))
        #expect(found.entry == expected.entry, "\(name)")
        #expect(found.parts.map(\.array) == expected.parts.map(\.array), "\(name)")
      }
    }
  }

  /// Other programs read plain numbers, and ComfyUI no groups and no quantized text encoders.
  @Test(
    arguments: [
      ("int8", nil, "", [.choose(.program, ["comfyui"]), .choose(.type, ["f16"])]),
      ("int4-g32", "comfyui", " for ComfyUI", [.choose(.type, ["int8", "f16"])]),
    ] as [(String, String?, String, [Remedy])])
  func otherTypesAreRefused(
    type: String, program: String?, title: String, remedies: [Remedy]
  ) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let error = await #expect(throws: JobError.self) {
        try await extract(of: miniature, to: path, type: type, program: program)
      }
      #expect(
        error?.description
          == "\(path): a safetensors file of one component\(title) cannot hold \(type) weights")
      #expect(error?.remedy == .either(remedies))
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }

  @Test func otherProgramsAndComponentsAreRefused() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let program = await #expect(throws: JobError.self) {
        try await extract(of: miniature, to: path, program: "sdcpp")
      }
      #expect(
        program?.description
          == "\(path): unknown program 'sdcpp' for a safetensors file of one component; expected "
          + "component or comfyui")
      #expect(program?.remedy == nil)
      let text = ExtractJob(
        model: miniature, reading: InputOptions(), part: .clipL, output: path, program: "comfyui",
        replacing: false, type: "int8")
      let component = await #expect(throws: JobError.self) { try await text.run() }
      #expect(
        component?.description
          == "\(path): a safetensors file of one component cannot hold int8 weights of component "
          + "'text_encoder'")
    }
  }

  // MARK: - Layers that stay as they are

  /// A copy of a model with one weight of 60000 in a linear layer.
  private func modelWithOutlier(in folder: String) async throws -> String {
    let path = folder + "/model"
    _ = try await ConvertJob(
      model: miniature, reading: InputOptions(), output: OutputRequest(path: path), type: nil
    ).run()
    let weights = path + "/unet/diffusion_pytorch_model.safetensors"
    let file = try SafetensorsFile(path: weights)
    let tensors = try file.names.map { name in
      let tensor = try file.tensor(name)
      guard name == Self.layer else { return (name, tensor) }
      var floats = tensor.floats()
      floats[tensor.shape.rowLength + 5] = 60_000
      return (name, StoredTensor(shape: tensor.shape, floats: floats, as: .f16))
    }
    let changed = folder + "/changed.safetensors"
    try writeSafetensors(MemorySource(location: weights, tensors), to: changed)
    try FileManager.default.removeItem(atPath: weights)
    try FileManager.default.moveItem(atPath: changed, toPath: weights)
    return path
  }

  /// What lacks a U-Net has nothing to quantize, whatever the output is.
  @Test(
    arguments: [("vae", [Setting.unet, .textEncoder]), ("text_encoder", [Setting.unet, .vae])],
    ["a.decant", "a.gguf"])
  func aPartWithoutAUNetIsNamed(
    part: (component: String, missing: [Setting]), name: String
  ) async throws {
    try await withTemporaryFolder { folder in
      let place = miniature + "/" + part.component
      let error = await #expect(throws: JobError.self) {
        try await quantize(
          place, to: folder + "/" + name, QuantizationRequest(type: "int8", method: "round"))
      }
      #expect(
        error?.description
          == "\(place): holds \(part.component) alone; the weights of a unet are quantized, and those "
          + "of its text encoders with it")
      #expect(
        error?.remedy
          == .either([
            .addComponents(part.missing), .act("convert it to another number type instead"),
          ]))
    }
  }

  @Test(arguments: ["int8", "fp8", "int8-convrot"])
  func aLayerWithAnOutlierIsNamed(type: String) async throws {
    try await withTemporaryFolder { folder in
      let model = try await modelWithOutlier(in: folder)
      let path = folder + "/a.decant"
      let notes = try await quantize(
        model, to: path, QuantizationRequest(type: type, method: "round"))
      let start =
        "unet: '\(Self.layer)' stays f16: outlier in row 1: \(type) gives its other weights an "
        + "SQNR of "
      #expect(notes.count == 1 && notes[0].hasPrefix(start), "\(notes)")
      let unet = try #require(try packed(path)["unet"]).weights
      #expect(unet.entry(Self.layer)?.encoding == .plain(.f16))
      let others = unet.names.filter { unet.entry($0)?.encoding.name == type }
      #expect(others.count > 10)
    }
  }

  @Test func anAssignmentThatAProgramOverrulesIsNoted() async throws {
    try await withTemporaryFolder { folder in
      let request = QuantizationRequest(type: "int8", method: "round", assign: ["conv_out=int8"])
      func notes(_ name: String, _ program: String?) async throws -> [String] {
        try await quantize(
          miniature, to: folder + "/" + name, request, program: program, isDryRun: true)
      }
      let native = try await notes("a.safetensors", "comfyui")
      #expect(
        native == [
          "unet: 'conv_out.weight' becomes f16, although pattern 'conv_out' assigns int8: ComfyUI "
            + "reads it as plain numbers only"
        ])
      let packed = try await notes("a.decant", nil)
      #expect(packed.isEmpty)
    }
  }
}
