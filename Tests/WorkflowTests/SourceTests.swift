import Checkpoints
import Foundation
import ModelSources
import Support
import TestSupport
import Testing
import Workflow

/// How jobs read their input and what outputs state about it.
@Suite struct SourceTests {
  /// The digest of the source in an output's provenance.
  private func digest(_ model: ModelSource) throws -> String {
    try #require(model.provenance["source"]?["sha256"]?.string)
  }

  private func converted(
    _ model: String, to path: String, type: String? = nil, reading: InputOptions = InputOptions(),
    variant: String? = nil
  ) async throws {
    _ = try await ConvertJob(
      model: model, reading: reading, output: OutputRequest(path: path, variant: variant),
      type: type
    ).run()
  }

  @Test func theDigestOfASourceDoesNotDependOnTheJob() async throws {
    try await withTemporaryFolder { folder in
      try await converted(tiny, to: folder + "/a.decant")
      let expected = try digest(packed(folder + "/a.decant"))
      try await converted(tiny, to: folder + "/b.decant", type: "bf16")
      #expect(try digest(packed(folder + "/b.decant")) == expected)
      _ = try await StripJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: folder + "/c.decant"),
        cut: .drops(["mid_block"])
      ).run()
      #expect(try digest(packed(folder + "/c.decant")) == expected)
      _ = try await ShrinkJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: folder + "/d.decant"),
        cut: .drops(["mid_block"]), quantization: QuantizationRequest(type: "int8"),
        calibration: nil, calibrating: smallCalibration, verification: smallVerification,
        report: nil
      ).run()
      #expect(try digest(packed(folder + "/d.decant")) == expected)
      // The history of a written model keeps the first source.
      try await converted(folder + "/b.decant", to: folder + "/e.decant")
      #expect(try digest(packed(folder + "/e.decant")) == expected)
    }
  }

  @Test func theDigestCoversEveryComponent() async throws {
    try await withTemporaryFolder { folder in
      var digests: Set<String> = []
      for component in ["", "unet", "vae", "text_encoder"] {
        let model = folder + "/model-\(component)"
        try FileManager.default.copyItem(atPath: tiny, toPath: model)
        if !component.isEmpty {
          let names = try FileManager.default.contentsOfDirectory(atPath: model + "/" + component)
          let name = try #require(names.first { $0.hasSuffix(".safetensors") })
          let url = URL(fileURLWithPath: "\(model)/\(component)/\(name)")
          var bytes = try Data(contentsOf: url)
          bytes[bytes.count - 2] ^= 1
          try bytes.write(to: url)
        }
        let output = folder + "/\(digests.count).decant"
        try await converted(model, to: output)
        digests.insert(try digest(packed(output)))
      }
      #expect(digests.count == 4)
    }
  }

  @Test func aVariantThatDoesNotExistIsRefused() async throws {
    try await withTemporaryFolder { folder in
      try await converted(tiny, to: folder + "/a.decant")
      for model in [tiny, folder + "/a.decant"] {
        await #expect {
          try await converted(
            model, to: folder + "/b", reading: InputOptions(variant: "fp61"))
        } throws: {
          "\($0)".contains("'fp61'")
        }
        await #expect(throws: (any Error).self) {
          _ = try await StripJob(
            model: model, reading: InputOptions(variant: "fp61"),
            output: OutputRequest(path: folder + "/b"), cut: .drops(["mid_block"])
          ).run()
        }
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.decant"])
    }
  }

  @Test func readingAVariantAndNamingTheOutputAreTwoOptions() async throws {
    try await withTemporaryFolder { folder in
      func unet(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path + "/unet")
          .filter { $0 != "config.json" }
      }
      let (named, plain, renamed) = (folder + "/a", folder + "/b", folder + "/c")
      try await converted(tiny, to: named, variant: "fp16")
      #expect(try unet(named) == ["diffusion_pytorch_model.fp16.safetensors"])
      try await converted(named, to: plain, reading: InputOptions(variant: "fp16"))
      #expect(try unet(plain) == ["diffusion_pytorch_model.safetensors"])
      try await converted(
        named, to: renamed, reading: InputOptions(variant: "fp16"), variant: "other")
      #expect(try unet(renamed) == ["diffusion_pytorch_model.other.safetensors"])
    }
  }

  @Test func anOutputThatClearlyDoesNotFitIsRefused() throws {
    #expect(throws: DiskSpaceError(path: "a", needed: 100, free: 99)) {
      try requireSpace(100, free: 99, for: "a")
    }
    try requireSpace(100, free: 100, for: "a")
    let error = DiskSpaceError(path: "a", needed: 3_000_000_000, free: 2_000_000)
    #expect(
      "\(error)"
        == "a: writing it takes at least 3.00 GB, and 2.00 MB is free in its file system")
    let most = DiskSpaceError(
      path: "a", needed: 3_000_000_000, isMost: true, beside: "b", free: 2_000_000)
    #expect(
      "\(most)"
        == "a: writing it, and beside it b, takes up to 3.00 GB, and 2.00 MB is free in its file "
        + "system")
  }

  @Test func anOutputTakesAtLeastItsWeights() async throws {
    try await withTemporaryFolder { folder in
      let components = try Readers.all.read(tiny).components
      let plain = leastBytes(of: components, isCoded: false)
      #expect(plain == components.reduce(0) { $0 + $1.weights.byteCount })
      let coded = leastBytes(of: components, isCoded: true)
      try await converted(tiny, to: folder + "/a.decant")
      #expect(coded < plain)
      #expect(try ByteSlice.mapping(folder + "/a.decant").count > coded)
    }
  }
}
