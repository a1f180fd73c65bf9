import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Every setting of a calibration changes its statistics.
@Suite struct CalibrationOptionTests {
  /// The largest magnitude of each channel of each layer's input, by tensor name.
  private func maxima(_ settings: CalibrationRequest) async throws -> [String: [UInt8]] {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.calibration"
      _ = try await CalibrateJob(of: tiny, settings, to: path).run()
      let file = try SafetensorsFile(path: path)
      let names = file.names.filter { $0.hasSuffix(".maximum") }
      #expect(!names.isEmpty)
      return try Dictionary(
        uniqueKeysWithValues: names.map { ($0, try file.tensor($0).parts[0].array) })
    }
  }

  @Test func seedsStepsSizeAndArithmetic() async throws {
    let standard = try await maxima(smallCalibration)
    let again = try await maxima(smallCalibration)
    #expect(again == standard)
    var settings = [CalibrationRequest](repeating: smallCalibration, count: 4)
    settings[0].seeds = 2
    let small = ImageSize(width: 16, height: 16)
    settings[1].set(steps: 2, sizes: [small])
    settings[2].set(steps: 1, sizes: [ImageSize(width: 32, height: 16)])
    settings[3].compute = try #require(Compute(name: "int8"))
    for (index, changed) in settings.enumerated() {
      let found = try await maxima(changed)
      #expect(found != standard, "\(index)")
    }
  }

  @Test func prompts() async throws {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/prompts.txt"
    try "a red circle\na blue square\n".write(toFile: path, atomically: true, encoding: .utf8)
    var settings = smallCalibration
    let standard = try await maxima(settings)
    settings.promptLimit = 2
    let two = try await maxima(settings)
    #expect(two != standard)
    settings = smallCalibration
    settings.promptsPath = path
    let own = try await maxima(settings)
    #expect(own != standard)
    settings.promptLimit = nil
    let both = try await maxima(settings)
    #expect(both != own)
  }

  @Test func mergingAddsUpTheRunsOfThreeFiles() async throws {
    try await withTemporaryFolder { folder in
      var parts: [String] = []
      for (index, prompt) in ["a red circle", "a blue square", "a cat"].enumerated() {
        let prompts = folder + "/\(index).txt"
        try (prompt + "\n").write(toFile: prompts, atomically: true, encoding: .utf8)
        parts.append(try await calibration(folder + "/\(index).calibration", prompts: prompts))
      }
      let whole = folder + "/all.txt"
      try "a red circle\na blue square\na cat\n".write(
        toFile: whole, atomically: true, encoding: .utf8)
      let expected = try await calibration(folder + "/all.calibration", prompts: whole)
      let merged = folder + "/merged.calibration"
      _ = try await CalibrateJob(task: .merge(parts), output: merged, replacing: false).run()
      #expect(try ByteSlice.mapping(merged).array == ByteSlice.mapping(expected).array)
    }
  }

  private func calibration(_ path: String, prompts: String) async throws -> String {
    var settings = smallCalibration
    settings.promptsPath = prompts
    settings.promptLimit = nil
    _ = try await CalibrateJob(of: tiny, settings, to: path).run()
    return path
  }
}
