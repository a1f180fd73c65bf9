import Foundation
import Support
import TestSupport
import Testing
import Workflow

/// Parts of calibrations, finished calibrations that are used again, and sensitivities beside them.
@Suite struct ShardTests {
  /// Two steps of three small images, the second one larger than the others.
  private static let settings: CalibrationRequest = {
    var request = CalibrationRequest(.standard)
    request.promptLimit = 3
    request.set(
      steps: 2, sizes: [ImageSize(width: 16, height: 16), ImageSize(width: 32, height: 16)])
    return request
  }()

  private static let ending = ".sensitivity.json"

  private static func bytes(_ path: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: path))
  }

  /// The error of a job as text; empty where it has none.
  private static func refusal(_ job: CalibrateJob) async -> String {
    do {
      _ = try await job.run()
      return ""
    } catch { return "\(error)" }
  }

  @Test func shardsMergeToTheBytesOfOneRun() async throws {
    try await withTemporaryFolder { folder in
      let (whole, merged) = (folder + "/whole", folder + "/merged")
      let outcome = try await CalibrateJob(
        of: miniature, Self.settings, to: whole, measures: [.sensitivity]
      ).run()
      #expect(outcome.json["sensitivities"] == .string(whole + Self.ending))
      #expect(outcome.text.contains("\n\(whole).sensitivity.json: sensitivities of "))
      #expect(outcome.text.hasSuffix(" units in 4 calls"), "\(outcome.text)")
      var parts: [String] = []
      for index in 1...3 {
        let part = folder + "/part\(index)"
        let outcome = try await CalibrateJob(
          of: miniature, Self.settings, to: part, shard: Shard(index: index, of: 3),
          measures: [.sensitivity]
        ).run()
        // The larger image is not measured.
        #expect(
          outcome.text.hasSuffix(" units in \(index == 3 ? 0 : 2) calls"), "\(outcome.text)")
        parts.append(part)
      }
      _ = try await CalibrateJob(
        task: .merge([parts[2], parts[0], parts[1]]), output: merged, replacing: false
      ).run()
      #expect(try Self.bytes(merged) == Self.bytes(whole))
      #expect(try Self.bytes(merged + Self.ending) == Self.bytes(whole + Self.ending))

      // Sensitivities that only some of the parts have.
      try FileManager.default.removeItem(atPath: parts[1] + Self.ending)
      let message = await Self.refusal(
        CalibrateJob(task: .merge(parts), output: folder + "/other", replacing: false))
      #expect(
        message.hasPrefix(
          "\(parts[1])\(Self.ending) does not exist, but \(parts[0])\(Self.ending) does; "))
      #expect(!FileManager.default.fileExists(atPath: folder + "/other"))
    }
  }

  /// Sensitivities that are measured after merging are those of the shards.
  @Test func sensitivitiesAreMeasuredLater() async throws {
    try await withTemporaryFolder { folder in
      let (whole, merged) = (folder + "/whole", folder + "/merged")
      _ = try await CalibrateJob(
        of: miniature, Self.settings, to: whole, measures: [.sensitivity]
      ).run()
      var parts: [String] = []
      for index in 1...2 {
        parts.append(folder + "/part\(index)")
        _ = try await CalibrateJob(
          of: miniature, Self.settings, to: parts[index - 1], shard: Shard(index: index, of: 2)
        ).run()
      }
      _ = try await CalibrateJob(task: .merge(parts), output: merged, replacing: false).run()
      #expect(!FileManager.default.fileExists(atPath: merged + Self.ending))
      let log = EventLog()
      let again = CalibrateJob(of: miniature, Self.settings, to: merged, measures: [.sensitivity])
      _ = try await again.run(log.add)
      #expect(log.notes.first?.hasPrefix("\(merged) is a calibration of this model ") == true)
      #expect(try Self.bytes(merged) == Self.bytes(whole))
      #expect(try Self.bytes(merged + Self.ending) == Self.bytes(whole + Self.ending))
      // They are measured once.
      let second = EventLog()
      _ = try await again.run(second.add)
      let measures = second.stages.contains {
        if case .measuringSensitivities = $0 { true } else { false }
      }
      #expect(!measures)
    }
  }

  @Test func anEmptyShardIsRefused() async throws {
    try await withTemporaryFolder { folder in
      let job = CalibrateJob(
        of: tiny, Self.settings, to: folder + "/c", shard: Shard(index: 4, of: 5))
      let error = await #expect(throws: JobError.self) { _ = try await job.run() }
      #expect(error?.description == "shard 4 of 5 has no run: there are 3 runs")
      #expect(error?.remedy == .act("use at most 3 shards, or more prompts"))
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(names == [])
    }
  }

  /// A finished calibration is used again where it would not change. Another one is neither used nor
  /// replaced.
  @Test func aFinishedCalibrationIsUsedAgain() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/c"
      let first = try await CalibrateJob(of: tiny, to: path).run()
      let bytes = try Self.bytes(path)
      let log = EventLog()
      let again = try await CalibrateJob(of: tiny, to: path).run(log.add)
      #expect(again.json == first.json)
      let calibrates = log.stages.contains { if case .calibrating = $0 { true } else { false } }
      #expect(!calibrates)
      #expect(
        log.notes == [
          "\(path) is a calibration of this model with these settings and is used again"
        ])

      var more = smallCalibration
      more.promptLimit = 2
      var longer = smallCalibration
      longer.set(steps: 2, sizes: [ImageSize(width: 16, height: 16)])
      var guided = smallCalibration
      guided.guidanceScale = 3
      let others = [
        CalibrateJob(of: tiny, more, to: path), CalibrateJob(of: tiny, longer, to: path),
        CalibrateJob(of: tiny, guided, to: path), CalibrateJob(of: miniature, to: path),
      ]
      for (index, other) in others.enumerated() {
        let message = await Self.refusal(other)
        #expect(message == "\(FileError(.exists, path))", "\(index)")
      }
      #expect(try Self.bytes(path) == bytes)
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(names == ["c"])
      // With replacing, it is made anew.
      _ = try await CalibrateJob(of: tiny, longer, to: path, replacing: true).run()
      #expect(try Self.bytes(path) != bytes)
    }
  }

  /// After the time limit no image begins. The first one is always made. A calibration of some of the
  /// images is used again with a limit only.
  @Test func aTimeLimitLeavesImagesOut() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/c"
      var limited = Self.settings
      limited.limit = .zero
      let outcome = try await CalibrateJob(of: tiny, limited, to: path).run()
      #expect(outcome.json["runs"] == 1, "\(outcome.json.text())")
      #expect(outcome.text.hasPrefix("\(path): 1 image, 2 steps each, 16x16 or 32x16; "))
      let again = try await CalibrateJob(of: tiny, limited, to: path).run()
      #expect(again.json == outcome.json)
      let error = await #expect(throws: FileError.self) {
        _ = try await CalibrateJob(of: tiny, Self.settings, to: path).run()
      }
      #expect(error?.operation == .exists)
      limited.limit = .seconds(3600)
      let replaced = try await CalibrateJob(of: tiny, limited, to: path, replacing: true).run()
      #expect(replaced.json["runs"] == 3)
    }
  }

  /// Sensitivities of another calibration are not used, and damaged ones are an error that names them.
  @Test func otherSensitivitiesAreMeasuredAgain() async throws {
    try await withTemporaryFolder { folder in
      let (path, other) = (folder + "/c", folder + "/other")
      var settings = Self.settings
      settings.promptLimit = 1
      let job = CalibrateJob(of: tiny, settings, to: path, measures: [.sensitivity])
      _ = try await job.run()
      let measured = try Self.bytes(path + Self.ending)
      settings.guidanceScale = 2
      _ = try await CalibrateJob(of: tiny, settings, to: other, measures: [.sensitivity]).run()
      try Self.bytes(other + Self.ending).write(to: URL(fileURLWithPath: path + Self.ending))
      let log = EventLog()
      _ = try await job.run(log.add)
      #expect(
        log.notes.last
          == "\(path)\(Self.ending) is of another model, other settings, calls or units, and is "
          + "measured again")
      #expect(try Self.bytes(path + Self.ending) == measured)
      try Data("{}".utf8).write(to: URL(fileURLWithPath: path + Self.ending))
      let message = await Self.refusal(job)
      #expect(
        message
          == "\(path)\(Self.ending): 'format' of the sensitivities is absent, expected a value")
    }
  }
}
