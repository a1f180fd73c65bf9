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
      QuantizationRequest(type: "int4-g32", keptShare: 0),
      QuantizationRequest(type: "int4-g32", keptShare: 0.2),
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

  /// With 16 recorded calls, layers are rounded with the moments of their inputs, and the most sensitive
  /// ones are found by a measurement, which is kept beside the calibration.
  @Test(arguments: [(2, 0.03, "gptq", true), (2, 0, "gptq", false), (1, 0.03, "mse", false)])
  func enoughRecordedCallsAreMeasured(
    prompts: Int, share: Double, method: String, measures: Bool
  ) async throws {
    try await withTemporaryFolder { folder in
      let (calibration, path) = (folder + "/c", folder + "/a.decant")
      var settings = smallCalibration
      settings.promptLimit = prompts
      settings.set(steps: 8, sizes: [ImageSize(width: 16, height: 16)])
      _ = try await CalibrateJob(of: tiny, settings, to: calibration).run()
      let log = EventLog()
      let job = QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: path), isDryRun: false,
        request: QuantizationRequest(type: "int4-g32", keptShare: share), calibration: calibration)
      _ = try await job.run(log.add)
      let steps = try packed(path).provenance["steps"]?.array
      #expect(steps?.first?["method"] == .string(method))
      let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(names == ["a.decant", "c"] + (measures ? ["c.sensitivity.json"] : []))
      let measured = log.stages.contains {
        if case .measuringSensitivities = $0 { true } else { false }
      }
      #expect(measured == measures)
    }
  }

  /// The baselines of a verification keep no layers: the one in int8 is the model that rounds all of
  /// them to nearest.
  @Test func baselinesRoundEveryLayer() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      func errors(_ share: Double?) async throws -> [JSONValue?] {
        _ = try await QuantizeJob(
          model: tiny, reading: InputOptions(),
          output: OutputRequest(path: path, replacing: true), isDryRun: false,
          request: QuantizationRequest(type: "int8", method: "round", keptShare: share),
          calibration: nil
        ).run()
        var request = smallVerification
        request.hasBaselines = true
        let outcome = try await VerifyJob(
          reference: tiny, candidate: path, reading: InputOptions(), request: request,
          report: nil, replacing: false
        ).run()
        let compared = try #require(outcome.json["compared"]?.array)
        #expect(compared.map { $0["name"]?.string }.last == "int8 (round)")
        return [compared.first?["errors"], compared.last?["errors"]]
      }
      let all = try await errors(0)
      #expect(all[0] != nil && all[0] == all[1])
      let kept = try await errors(nil)
      #expect(kept[0] != kept[1] && kept[1] == all[1])
    }
  }

  /// The share that stays is of the weights that are quantized, without those that the program reads as
  /// plain numbers only: ComfyUI reads linear layers alone in int8.
  @Test func layersOfPlainNumbersDoNotCountAsKept() async throws {
    func quantizedBytes(_ share: Double) async throws -> Double {
      let outcome = try await QuantizeJob(
        model: miniature, reading: InputOptions(), output: nil,
        layout: LayoutRequest(kind: "checkpoint", program: "comfyui"), isDryRun: true,
        request: QuantizationRequest(type: "int8", keptShare: share), calibration: nil
      ).run()
      let plan = try #require(outcome.json["plan"]?.array)
      return plan.reduce(0) { sum, tensor in
        tensor["scheme"] == "int8" ? sum + (tensor["bytes"]?.number ?? 0) : sum
      }
    }
    let share = try await 1 - quantizedBytes(0.5) / quantizedBytes(0)
    // Bytes of rows' scales are in it.
    #expect(share > 0.48 && share < 0.51, "\(share)")
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
