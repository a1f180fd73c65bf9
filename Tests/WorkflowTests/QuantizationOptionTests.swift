import Foundation
import ModelSources
import Support
import TestSupport
import Testing
import Workflow

/// Every setting of `quantize` and `shrink` changes what is written.
@Suite struct QuantizationOptionTests {
  private func quantized(
    _ request: QuantizationRequest, calibration: String? = nil
  ) async throws -> [String: [String]] {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      _ = try await QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: path), isDryRun: false,
        request: request, calibration: calibration
      ).run()
      return try weights(packed(path))
    }
  }

  @Test func everySettingChangesTheWeights() async throws {
    let standard = try await quantized(QuantizationRequest(type: "int4-g32"))
    for request in [
      QuantizationRequest(type: "int8"),
      QuantizationRequest(type: "int4-g32", textEncoderType: "int8"),
      QuantizationRequest(type: "int4-g32", method: "round"),
      QuantizationRequest(type: "int4-g32", keep: ["mid_block.*"]),
      QuantizationRequest(type: "int4-g32", only: ["mid_block.*"]),
      QuantizationRequest(type: "int4-g32", assign: ["mid_block.*=int8"]),
      QuantizationRequest(type: "int4-g32", restType: "bf16"),
    ] {
      #expect(try await quantized(request) != standard, "\(request)")
    }
  }

  @Test func theStatisticsOfACalibrationAreUsed() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.calibration"
      _ = try await CalibrateJob(of: tiny, to: path).run()
      let request = QuantizationRequest(type: "int4-g32")
      let weighted = try await quantized(request, calibration: path)
      #expect(try await weighted != quantized(request))
      // Round to nearest takes no statistics.
      let rounding = QuantizationRequest(type: "int4-g32", method: "round")
      #expect(try await quantized(rounding, calibration: path) == quantized(rounding))
    }
  }

  @Test func aDryRunWritesNothing() async throws {
    try await withTemporaryFolder { folder in
      let out = try await QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: folder + "/a.decant"),
        isDryRun: true, request: QuantizationRequest(type: "int8"), calibration: nil
      ).run()
      #expect(out.json["plan"] != nil)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// Images of prompts that the calibration has seen would look better than others.
  @Test func shrinkVerifiesWithPromptsThatTheCalibrationDoesNotUse() async throws {
    try await withTemporaryFolder { folder in
      let prompts = folder + "/prompts.txt"
      try "a red circle\na blue square\na green star\n".write(
        toFile: prompts, atomically: true, encoding: .utf8)
      var calibrating = smallCalibration
      calibrating.promptsPath = prompts
      let path = folder + "/small.decant"
      let out = try await ShrinkJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: path), cut: nil,
        quantization: QuantizationRequest(type: "int8"), calibration: nil,
        calibrating: calibrating, verification: smallVerification, report: nil
      ).run()
      let verified = try #require(out.verification).json["settings"]?["prompts"]?.array?.compactMap(
        \.string)
      #expect(verified == ["a blue square"])
      let header = String(
        decoding: try ByteSlice.mapping(path + ".calibration").array.prefix(1 << 20),
        as: UTF8.self)
      #expect(header.contains("a red circle") && !header.contains("a blue square"))
      let model = try packed(path)
      #expect(model.provenance["steps"]?.array?.map { $0["step"] } == ["quantize"])
      let used = model.provenance["steps"]?.array?.first?["calibration"]
      #expect(used?["settings"]?["steps"] == 1 && used?["prompts"] == 1)
    }
  }

  @Test func shrinkCutsAndCalibratesAsItsSettingsSay() async throws {
    try await withTemporaryFolder { folder in
      func shrunk(_ name: String, cut: Cut?, seeds: Int) async throws -> [String: [String]] {
        var calibrating = smallCalibration
        calibrating.seeds = seeds
        let path = folder + "/\(name).decant"
        _ = try await ShrinkJob(
          model: tiny, reading: InputOptions(), output: OutputRequest(path: path), cut: cut,
          quantization: QuantizationRequest(type: "int4-g32"), calibration: nil,
          calibrating: calibrating, verification: smallVerification, report: nil
        ).run()
        return try weights(packed(path))
      }
      let standard = try await shrunk("a", cut: nil, seeds: 1)
      #expect(try await shrunk("b", cut: nil, seeds: 4) != standard)
      let cut = try await shrunk("c", cut: .drops(["mid_block"]), seeds: 1)
      #expect(standard.keys.contains { $0.hasPrefix("unet/mid_block.") })
      #expect(!cut.keys.contains { $0.hasPrefix("unet/mid_block.") })
    }
  }
}
