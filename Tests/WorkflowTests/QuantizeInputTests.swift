import ModelSources
import Support
import Testing
import Workflow

/// Each input of `quantize` changes its output.
@Suite struct QuantizeInputTests {
  private func quantized(
    _ path: String, _ request: QuantizationRequest, calibration: String? = nil
  ) async throws -> (weights: [String: [String]], ledger: JSONValue?) {
    _ = try await QuantizeJob(
      model: miniature, reading: InputOptions(), output: OutputRequest(path: path),
      isDryRun: false, request: request, calibration: calibration
    ).run()
    let model = try packed(path)
    return (
      try weights(model), model.provenance["steps"]?.array?.first?["ledger"]
    )
  }

  /// The statistics of the calibration reach the rounding method.
  @Test func theCalibrationChangesTheCodes() async throws {
    try await withTemporaryFolder { folder in
      var request = CalibrationRequest.standard
      request.promptLimit = 1
      request.steps = 2
      request.size = ImageSize(width: 32, height: 32)
      let calibration = folder + "/c.calibration"
      _ = try await CalibrateJob(
        task: .run(
          model: miniature, reading: InputOptions(), settings: request, resumes: false),
        output: calibration, replacing: false
      ).run()

      let int8 = QuantizationRequest(type: "int8")
      let plain = try await quantized(folder + "/plain.decant", int8)
      let calibrated = try await quantized(
        folder + "/calibrated.decant", int8, calibration: calibration)
      #expect(plain.weights.keys == calibrated.weights.keys)
      let changed = plain.weights.filter { calibrated.weights[$0.key] != $0.value }
      let codes = plain.weights.filter { $0.value[0].hasSuffix(" int8") }
      #expect(!codes.isEmpty)
      // Only quantized layers change, and most of them do.
      #expect(changed.keys.allSatisfy { codes[$0] != nil })
      #expect(changed.count > codes.count / 2)

      func weighted(_ ledger: JSONValue?) -> [JSONValue?] {
        (ledger?.array ?? []).filter { $0["after"] == "int8" }.map { $0["weighted_sqnr_db"] }
      }
      #expect(weighted(plain.ledger).count == codes.count)
      #expect(weighted(plain.ledger).allSatisfy { $0 == .null })
      #expect(weighted(calibrated.ledger).count == codes.count)
      #expect(weighted(calibrated.ledger).allSatisfy { $0?.number != nil })
    }
  }

  @Test func everyOptionChangesTheOutput() async throws {
    try await withTemporaryFolder { folder in
      let base = try await quantized(folder + "/base.decant", QuantizationRequest(type: "int8"))
      let key = "unet/mid_block.resnets.0.conv1.weight"
      #expect(base.weights[key]?[0].hasSuffix(" int8") == true)
      let requests: [(String, QuantizationRequest, encoding: String)] = [
        ("type", QuantizationRequest(type: "int8-g64"), "int8-g64"),
        ("method", QuantizationRequest(type: "int8", method: "round"), "int8"),
        ("keep", QuantizationRequest(type: "int8", keep: ["mid_block"]), "f16"),
        ("only", QuantizationRequest(type: "int8", only: ["down_blocks"]), "f16"),
        (
          "assign", QuantizationRequest(type: "int8", assign: ["mid_block=int4-g32"]), "int4-g32"
        ),
        ("rest", QuantizationRequest(type: "int8", restType: "f32"), "int8"),
      ]
      for (name, request, encoding) in requests {
        let found = try await quantized(folder + "/\(name).decant", request)
        #expect(found.weights != base.weights, "\(name)")
        #expect(found.weights[key]?[0].hasSuffix(" \(encoding)") == true, "\(name)")
      }
    }
  }
}
