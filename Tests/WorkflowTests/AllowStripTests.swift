import Calibration
import Foundation
import ModelSources
import Models
import Support
import TestSupport
import Testing
import Workflow

/// Targets that are met by removing blocks as well as by rounding.
@Suite struct AllowStripTests {
  private static func calibrated(in folder: String) async throws -> String {
    var settings = CalibrationRequest(.standard)
    settings.promptLimit = 2
    settings.set(steps: 2, sizes: [ImageSize(width: 32, height: 32)])
    _ = try await CalibrateJob(of: miniature, settings, to: folder + "/c").run()
    return folder + "/c"
  }

  private static func shrink(
    _ target: QuantizationTarget, to path: String, calibration: String, allowsRemoval: Bool
  ) -> ShrinkJob {
    ShrinkJob(
      model: miniature, reading: InputOptions(), output: OutputRequest(path: path), cut: nil,
      quantization: QuantizationRequest(type: nil, target: target), calibration: calibration,
      calibrating: smallCalibration, verification: smallVerification, report: nil,
      allowsRemoval: allowsRemoval)
  }

  /// A size that rounding alone does not reach.
  @Test func blocksAreRemovedForASmallSize() async throws {
    try await withTemporaryFolder { folder in
      let calibration = try await Self.calibrated(in: folder)
      let path = folder + "/a.decant"
      let most = 4_500_000
      await #expect(throws: JobError.self) {
        _ = try await Self.shrink(
          .size(most), to: path, calibration: calibration, allowsRemoval: false
        ).run()
      }
      let outcome = try await Self.shrink(
        .size(most), to: path, calibration: calibration, allowsRemoval: true
      ).run()
      let size = try contents(path).values.reduce(0) { $0 + $1.count }
      #expect(size <= most && size > most * 98 / 100, "\(size)")
      let model = try Model.bind(try packed(path))
      let left = model.weights(of: "unet").parameterCount
      let removal = try #require(outcome.json["written"]?["removal"])
      #expect(removal["parameters"]?["after"]?.integer == left && left < 5_523_876)
      let removed = try #require(removal["error"]?.number)
      let budget = try #require(outcome.json["written"]?["budget"])
      // Of both together, on the calls of the original.
      let whole = try #require(budget["measured_error"]?.number)
      let predicted = try #require(budget["predicted_error"]?.number)
      #expect(whole > removed / 2 && predicted > removed / 2 && whole < 1)
      let file = try CalibrationFile(path: calibration)
      let found = try GuidedErrorMeasurement(file, calls: file.calls).relativeError(of: model)
      #expect(abs(found - whole) < 1e-4 * whole)
      // Sensitivities and scores are those of the original.
      let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(names == ["a.decant", "c", "c.blocks.json", "c.sensitivity.json"])
    }
  }

  @Test func whatNoCutReachesIsRefused() async throws {
    try await withTemporaryFolder { folder in
      let calibration = try await Self.calibrated(in: folder)
      let path = folder + "/a.decant"
      let error = await #expect(throws: JobError.self) {
        _ = try await Self.shrink(
          .size(2_000_000), to: path, calibration: calibration, allowsRemoval: true
        ).run()
      }
      let start =
        "\(path): the size of the output cannot be 2.00 MB or less; the smallest that can be reached is "
      #expect(error?.description.hasPrefix(start) == true, "\(error?.description ?? "")")
      #expect(error?.remedy == .adjust(.outputSize, .larger))
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }

  /// The smallest output within an error has no more bytes than the one of the whole model.
  @Test func anErrorTakesTheSmallestOutput() async throws {
    try await withTemporaryFolder { folder in
      let calibration = try await Self.calibrated(in: folder)
      var sizes: [Int] = []
      for allowsRemoval in [false, true] {
        let path = folder + "/\(allowsRemoval).decant"
        let outcome = try await Self.shrink(
          .error(0.03), to: path, calibration: calibration, allowsRemoval: allowsRemoval
        ).run()
        let budget = try #require(outcome.json["written"]?["budget"])
        let error = try #require(budget["measured_error"]?.number)
        #expect(error <= 0.03)
        #expect((outcome.json["written"]?["removal"] != nil) == allowsRemoval)
        sizes.append(try contents(path).values.reduce(0) { $0 + $1.count })
      }
      // Half of this model is idle.
      #expect(Double(sizes[1]) < 0.9 * Double(sizes[0]), "\(sizes)")
    }
  }

  @Test func plansHaveACurveWithBlocksRemoved() async throws {
    try await withTemporaryFolder { folder in
      let calibration = try await Self.calibrated(in: folder)
      let outcome = try await PlanJob(
        model: miniature, reading: InputOptions(), calibration: calibration, sizes: [],
        layout: LayoutRequest(program: "comfyui"), allowsRemoval: true
      ).run()
      let curves = try #require(outcome.json["curves"]?.array)
      #expect(curves.map { $0["removes_blocks"]?.bool } == [false, true, false, true])
      for (whole, cut) in [(curves[0], curves[1]), (curves[2], curves[3])] {
        #expect(whole["layout"] == cut["layout"])
        let smallest = try #require(whole["smallest"]?.integer)
        #expect((cut["smallest"]?.integer ?? smallest) < smallest)
        let plain = try #require(whole["points"]?.array).filter { $0["type"]?.isNull == true }
        let points = try #require(cut["points"]?.array)
        #expect(points.count == 10 && plain.count < 10)
        #expect(plain.allSatisfy { $0["unet_share"]?.number == 1 })
        // At the same size, the error is at most that of the whole model.
        for (point, other) in zip(points.reversed(), plain.reversed()) {
          let error = try #require(point["predicted_error"]?.number)
          #expect(error <= (other["predicted_error"]?.number ?? 0))
        }
        let shares = points.compactMap { $0["unet_share"]?.number }
        #expect(shares[0] < 0.7 && shares.count == 10)
      }
      #expect(outcome.text.contains(", blocks removed: the smaller error at sizes up to "))
      #expect(outcome.text.contains(" % of unet"))
    }
  }
}
