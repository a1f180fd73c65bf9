import Calibration
import Checkpoints
import Foundation
import ModelSources
import Models
import Sampling
import Stripping
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Workflow

/// Scores of blocks beside calibrations: `calibrate --measure blocks`.
@Suite struct BlockScoreTests {
  /// Two steps of three small images.
  static let settings: CalibrationRequest = {
    var request = CalibrationRequest(.standard)
    request.promptLimit = 3
    request.set(steps: 2, sizes: [ImageSize(width: 16, height: 16)])
    return request
  }()

  private static let ending = ".blocks.json"

  /// The score of a unit is the squared error of the stripped model, evaluated from the first
  /// convolution on.
  @Test func scoresAreErrorsOfStrippedModels() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/c"
      let outcome = try await CalibrateJob(
        of: miniature, Self.settings, to: path, measures: [.blocks]
      ).run()
      #expect(outcome.json["blocks"] == .string(path + Self.ending))
      #expect(outcome.text.contains("\n\(path).blocks.json: block scores of "))
      let calibration = try CalibrationFile(path: path)
      let file = try SensitivityFile(path: path + Self.ending, of: .removal)
      let original = try Model.bind(try Readers.all.read(miniature))
      let units = StripUnit.all(of: original.unet)
      #expect(file.sensitivities.units.map(\.name) == units.map(\.name))
      #expect(file.sensitivities.isComplete && file.sensitivities.calls.count == 4)
      #expect(file.sensitivities.relativeErrors.contains { $0 > 0.1 })
      for name in [
        "down_blocks.0.attentions.1", "down_blocks.1.resnets.1", "down_blocks.3", "mid_block",
        "mid_block.attentions.0, mid_block.resnets.0", "up_blocks.3.attentions.2",
      ] {
        let place = try #require(units.firstIndex { $0.name == name })
        let plan = try StripPlan(dropping: units[place].drops, for: original.unet)
        let stripped = try Model.bind(plan.student(of: original.source))
        let call = file.sensitivities.calls[3]
        let recorded = try #require(
          calibration.calls.first { $0.run == call.run && $0.step == call.step })
        let replay = try CallReplay(
          [recorded], calibration.settings, by: try Sampler(stripped))
        let found = try replay.predict(0).guided.values
        let expected = recorded.guided(scale: calibration.settings.guidanceScale).values
        let error = relativeError(found, expected)
        let score = file.sensitivities.units[place].errors[3]
        #expect(abs(score - error * error) <= 1e-4 * score + 1e-9, "\(name): \(score), \(error)")
      }
    }
  }

  /// Shards merge to the bytes of one run, and an interrupted measurement continues to them.
  @Test func shardsAndInterruptedRunsGiveTheSameBytes() async throws {
    try await withTemporaryFolder { folder in
      func calibrate(
        _ name: String, _ shard: Shard? = nil, measures: Set<CalibrateJob.Measurement> = [.blocks]
      ) -> CalibrateJob {
        CalibrateJob(
          of: tiny, Self.settings, to: folder + "/" + name, shard: shard, measures: measures)
      }
      _ = try await calibrate("whole").run()
      let whole = try contents(folder + "/whole" + Self.ending)
      var parts: [String] = []
      for index in 1...2 {
        parts.append(folder + "/part\(index)")
        _ = try await calibrate("part\(index)", Shard(index: index, of: 2)).run()
      }
      _ = try await CalibrateJob(
        task: .merge(parts.reversed()), output: folder + "/merged", replacing: false
      ).run()
      #expect(try contents(folder + "/merged" + Self.ending) == whole)

      _ = try await calibrate("late", measures: []).run()
      let (starts, start) = AsyncStream<Void>.makeStream()
      let running = Mutex<Task<Void, any Error>?>(nil)
      let isMeasuring = Mutex(false)
      let task = Task {
        for await _ in starts { break }
        _ = try await calibrate("late").run { event in
          if case .stage(.measuringBlocks) = event { isMeasuring.withLock { $0 = true } }
          if case .progress(let done, _) = event, done == 5, isMeasuring.withLock({ $0 }) {
            running.withLock { $0?.cancel() }
          }
        }
      }
      running.withLock { $0 = task }
      start.yield()
      let error = await #expect(throws: InterruptedSensitivities.self) { try await task.value }
      let path = folder + "/late" + Self.ending
      #expect(error?.description == "\(path) keeps the measured block scores")
      let partial = try SensitivityFile(path: path, of: .removal).sensitivities
      #expect(!partial.isComplete && partial.units.contains { !$0.errors.isEmpty })
      _ = try await calibrate("late").run()
      #expect(try contents(path) == whole)
    }
  }
}
