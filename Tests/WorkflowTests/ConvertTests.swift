import Checkpoints
import Foundation
import ModelSources
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Workflow

@Suite struct ConvertTests {
  @Test func folderToPackfileToFolderKeepsEveryBit() async throws {
    try await withTemporaryFolder { folder in
      let (file, back) = (folder + "/a.decant", folder + "/back")
      let out = try await ConvertJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: file), type: nil
      ).run()
      _ = try await ConvertJob(
        model: file, reading: InputOptions(), output: OutputRequest(path: back), type: nil
      ).run()

      let original = try Readers.all.read(miniature)
      let copy = try Readers.all.read(back)
      let expected = try weights(original)
      #expect(try weights(try packed(file)) == expected)
      #expect(try weights(copy) == expected)
      #expect(copy.components.map(\.config) == original.components.map(\.config))
      #expect(copy.scheduler == original.scheduler)
      #expect(copy.files.map(\.path) == original.files.map(\.path))
      #expect(copy.files.map(\.bytes.array) == original.files.map(\.bytes.array))
      // The file is smaller than the folder, with every bit kept.
      #expect(out.bytesOfOutput < out.bytesOfInput)
    }
  }

  @Test func eachJobAppendsAStepAndKeepsTheFirstSource() async throws {
    try await withTemporaryFolder { folder in
      let (file, back) = (folder + "/a.decant", folder + "/back")
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: file), type: "bf16"
      ).run()
      _ = try await StripJob(
        model: file, reading: InputOptions(), output: OutputRequest(path: back),
        cut: .drops(["mid_block"])
      ).run()
      let first = try packed(file).provenance
      let second = try Readers.all.read(back).provenance
      #expect(first["source"] == second["source"])
      #expect(first["source"]?["name"] == "pipeline")
      #expect(first["source"]?["sha256"]?.string?.count == 64)
      #expect(first["steps"]?.array?.map { $0["step"] } == ["convert"])
      #expect(first["steps"]?.array?.first?["type"] == "bf16")
      #expect(second["steps"]?.array?.map { $0["step"] } == ["convert", "strip"])
    }
  }

  @Test(arguments: ["f32", "f16", "bf16"])
  func everyWeightHasTheRequestedType(type: String) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a"
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: path), type: type
      ).run()
      for component in try Readers.all.read(path).components {
        for name in component.weights.names {
          #expect(component.weights.entry(name)?.encoding.name == type)
        }
      }
    }
  }

  /// The size of the output is compared with that of the files that were read.
  @Test func otherWeightsInTheFolderAreNotCounted() async throws {
    try await withTemporaryFolder { folder in
      let model = folder + "/m"
      try FileManager.default.copyItem(atPath: tiny, toPath: model)
      func bytes() async throws -> Int {
        try await ConvertJob(
          model: model, reading: InputOptions(),
          output: OutputRequest(path: folder + "/a.decant", replacing: true), type: nil
        ).run().bytesOfInput
      }
      let alone = try await bytes()
      #expect(try alone == contents(tiny).values.reduce(0) { $0 + $1.count })
      for other in ["unet/diffusion_pytorch_model.fp16.safetensors", "whole.safetensors"] {
        try FileManager.default.copyItem(
          atPath: model + "/unet/diffusion_pytorch_model.safetensors", toPath: "\(model)/\(other)")
      }
      #expect(try await bytes() == alone)
    }
  }

  /// The variant of the input never names the output.
  @Test func aMissingVariantIsRefused() async throws {
    try await withTemporaryFolder { folder in
      await #expect(throws: VariantError(path: tiny, variant: "fp61")) {
        try await ConvertJob(
          model: tiny, reading: InputOptions(variant: "fp61"),
          output: OutputRequest(path: folder + "/a"), type: nil
        ).run()
      }
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(),
        output: OutputRequest(path: folder + "/a", variant: "fp16"), type: nil
      ).run()
      let model = try Readers.all.read(folder + "/a", options: ReadOptions(variant: "fp16"))
      #expect(model.provenance["variants"]?.object?["unet"] == "fp16")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(files == ["a"])
    }
  }

  /// A program reads some tensors as plain numbers only. A quantized model that is converted for it
  /// becomes the file that quantizing for it directly writes.
  @Test(arguments: ["sdcpp", "comfyui", "diffusers"])
  func quantizedTensorsFitTheProgram(program: String) async throws {
    try await withTemporaryFolder { folder in
      func quantized(_ output: OutputRequest) async throws {
        _ = try await QuantizeJob(
          model: miniature, reading: InputOptions(), output: output, isDryRun: false,
          request: QuantizationRequest(type: "int8-g32", assign: ["*=int8-g32"]), calibration: nil
        ).run()
      }
      let (packed, direct, via) = (folder + "/a.decant", folder + "/d.gguf", folder + "/v.gguf")
      try await quantized(OutputRequest(path: packed))
      try await quantized(OutputRequest(path: direct, program: program))
      _ = try await ConvertJob(
        model: packed, reading: InputOptions(), output: OutputRequest(path: via, program: program),
        type: nil
      ).run()
      let (expected, found) = (try Archives.open(direct).weights, try Archives.open(via).weights)
      #expect(found.names == expected.names)
      var widened = 0
      for name in expected.names {
        #expect(found.entry(name) == expected.entry(name), "\(name)")
        if expected.entry(name)?.encoding == .plain(.f16) { widened += 1 }
      }
      #expect(widened > 0)
    }
  }

  @Test(arguments: [
    (
      "a.safetensors", "sdcpp",
      "for the program 'sdcpp', Decant writes a GGUF file, not a single-file checkpoint: "
        + "stable-diffusion.cpp does not transpose 'text_projection' of single files of SDXL, so "
        + "that its images differ",
      ["gguf"]
    ),
    (
      "a.gguf", "sdnq", "for the program 'sdnq', Decant writes a diffusers folder, not a GGUF file",
      ["diffusers"]
    ),
    (
      "a", "comfyui",
      "for the program 'comfyui', Decant writes a single-file checkpoint or a GGUF file, not a "
        + "diffusers folder",
      ["checkpoint", "gguf"]
    ),
    ("a.decant", "nothing", "unknown program 'nothing' for a decant file; expected decant", []),
  ])
  func programsThatDoNotReadTheLayoutAreRefused(
    name: String, program: String, sentence: String, others: [String]
  ) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/" + name
      let error = await #expect(throws: JobError.self) {
        try await ConvertJob(
          model: tiny, reading: InputOptions(),
          output: OutputRequest(path: path, program: program), type: nil
        ).run()
      }
      #expect(error?.description == "\(path): \(sentence)")
      #expect(error?.remedy == (others.isEmpty ? nil : .choose(.outputFormat, others)))
    }
  }

  /// Every layout is written for each of its programs, by the same option.
  @Test(arguments: [
    ("a.decant", "decant"), ("a.safetensors", "checkpoint"), ("a.safetensors", "comfyui"),
    ("a", "diffusers"), ("a", "sdnq"), ("a.gguf", "diffusers"),
  ])
  func everyLayoutHasPrograms(name: String, program: String) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/" + name
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(),
        output: OutputRequest(path: path, program: program), type: nil
      ).run()
      #expect(FileManager.default.fileExists(atPath: path))
    }
  }

  @Test func everyTensorIsReadOnce() throws {
    try withTemporaryFolder { folder in
      let source = CountedModel(try Readers.all.read(tiny))
      try DiffusersFolderWriter().write(source.model, to: folder + "/a")
      #expect(source.reads == source.model.components.reduce(0) { $0 + $1.weights.names.count })
    }
  }

  @Test func aCancelledJobLeavesNoFiles() async throws {
    try await withTemporaryFolder { folder in
      let job = ConvertJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: folder + "/a.decant"),
        type: nil)
      let task = Task {
        withUnsafeCurrentTask { $0?.cancel() }
        return try await job.run()
      }
      await #expect(throws: CancellationError.self) { try await task.value }
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left.isEmpty)
    }
  }
}

/// A model that counts the tensors that are read from it.
///
/// Unchecked: only `init` sets `model`, and the count is atomic.
private final class CountedModel: @unchecked Sendable {
  private struct Source: WeightSource {
    let base: any WeightSource
    let owner: CountedModel
    var location: String { base.location }
    var names: [String] { base.names }
    func entry(_ name: String) -> TensorEntry? { base.entry(name) }
    func tensor(_ name: String) throws -> StoredTensor {
      owner.count.wrappingAdd(1, ordering: .relaxed)
      return try base.tensor(name)
    }
  }

  private let count = Atomic<Int>(0)
  var reads: Int { count.load(ordering: .relaxed) }
  private(set) var model: ModelSource

  init(_ model: ModelSource) {
    self.model = model
    for index in model.components.indices {
      self.model.components[index].weights = Source(
        base: model.components[index].weights, owner: self)
    }
  }
}
