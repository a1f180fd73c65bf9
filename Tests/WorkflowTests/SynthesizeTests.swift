import Foundation
import ModelSources
import Support
import Tensors
import Testing
import Workflow

/// Models with random weights. Full-size models are not written here; their weights are computed
/// when they are read.
@Suite struct SynthesizeTests {
  private func firstLayer(
    family: String = "sd-v1-4", seed: UInt64 = 0, type: String = "f32"
  ) throws -> StoredTensor {
    let model = try syntheticModel(family: family, seed: seed, type: type)
    let unet = try #require(model[ComponentName.unet])
    return try unet.weights.tensor("conv_in.weight")
  }

  @Test func everySettingChangesTheWeights() throws {
    let standard = try firstLayer()
    #expect(standard.shape == [320, 4, 3, 3])
    #expect(try firstLayer().parts[0].array == standard.parts[0].array)
    #expect(try firstLayer(seed: 1).parts[0].array != standard.parts[0].array)
    #expect(try firstLayer(family: "sd-v1-5-inpainting").shape == [320, 9, 3, 3])
    for (type, kind) in [("f32", ElementKind.f32), ("f16", .f16), ("bf16", .bf16)] {
      #expect(try firstLayer(type: type).encoding == .plain(kind))
    }
  }

  @Test func theModelHasATokenizer() throws {
    let model = try syntheticModel(family: "sdxl-base-1.0", seed: 0, type: "f16")
    for folder in ["tokenizer", "tokenizer_2"] {
      #expect(
        model.file(folder + "/vocab.json") != nil && model.file(folder + "/merges.txt") != nil)
    }
  }

  /// A refused job writes nothing and leaves an existing output as it is.
  @Test func impossibleJobsAreRefused() async throws {
    try await withTemporaryFolder { folder in
      let existing = folder + "/a.decant"
      try Data([1, 2, 3]).write(to: URL(fileURLWithPath: existing))
      let jobs: [(String, String, OutputRequest)] = [
        ("sd-v9", "f16", OutputRequest(path: folder + "/b.decant")),
        ("sd-v1-4", "int8", OutputRequest(path: folder + "/b.decant")),
        ("sd-v1-4", "f16", OutputRequest(path: existing)),
        ("sd-v1-4", "f16", OutputRequest(path: folder + "/b", kind: "zip")),
        ("sd-v1-4", "f16", OutputRequest(path: folder + "/b", numbering: "gap")),
      ]
      for (family, type, output) in jobs {
        await #expect(throws: (any Error).self, "\(family), \(type), \(output.path)") {
          try await SynthesizeJob(family: family, seed: 0, type: type, output: output).run()
        }
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.decant"])
      #expect(try Data(contentsOf: URL(fileURLWithPath: existing)) == Data([1, 2, 3]))
    }
  }
}
