import Calibration
import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Workflow

/// Blocks that are chosen by the errors that they cause in recorded calls.
@Suite struct MeasuredRemovalTests {
  /// A calibration of a miniature with four recorded calls of small images.
  private static func calibrate(_ model: String, _ path: String) async throws {
    var settings = CalibrationRequest(.standard)
    settings.promptLimit = 2
    settings.set(steps: 2, sizes: [ImageSize(width: 32, height: 32)])
    _ = try await CalibrateJob(of: model, settings, to: path).run()
  }

  private static func strip(
    _ limit: RemovalLimit, to output: OutputRequest, calibration: String,
    of model: String = miniature
  ) -> StripJob {
    StripJob(
      model: model, reading: InputOptions(), output: output, cut: .measured(limit),
      calibration: calibration)
  }

  private static func path(_ outcome: WrittenModel) throws -> [JSONValue] {
    try #require(outcome.json["removal"]?["path"]?.array)
  }

  @Test func theErrorStaysBelowTheLimit() async throws {
    try await withTemporaryFolder { folder in
      let calibration = folder + "/c"
      try await Self.calibrate(miniature, calibration)
      let output = OutputRequest(path: folder + "/a")
      let log = EventLog()
      let outcome = try await Self.strip(.error(0.03), to: output, calibration: calibration)
        .run(log.add)
      let removal = try #require(outcome.json["removal"])
      let error = try #require(removal["error"]?.number)
      #expect(error > 0 && error <= 0.03 && removal["calls"] == 4)
      let steps = try Self.path(outcome)
      #expect(steps.count > 3 && steps.allSatisfy { ($0["error"]?.number ?? 1) <= 0.03 })
      let left = steps.compactMap { $0["parameters"]?.integer }
      #expect(zip(left, left.dropFirst()).allSatisfy { $0 > $1 })
      #expect(log.notes.allSatisfy { !$0.contains("the error of the guided prediction") })

      // The error is that of the model that was written, from the first convolution on.
      let model = try Model.bind(try Readers.all.read(output.path))
      #expect(removal["parameters"]?["after"] == .integer(model.weights(of: "unet").parameterCount))
      #expect(removal["parameters"]?["after"]?.integer == left.last)
      let file = try CalibrationFile(path: calibration)
      let found = try GuidedErrorMeasurement(file, calls: file.calls).relativeError(of: model)
      #expect(abs(found - error) <= 1e-5 * error)

      // What is measured is used again: the file stays as it is.
      let scores = try contents(calibration + ".blocks.json")
      let again = EventLog()
      let second = try await Self.strip(
        .error(0.03), to: OutputRequest(path: folder + "/b"), calibration: calibration
      ).run(again.add)
      #expect(try Self.path(second) == steps)
      #expect(try contents(calibration + ".blocks.json") == scores)
      #expect(!again.stages.contains { if case .measuringBlocks = $0 { true } else { false } })
    }
  }

  @Test func aSizeIsReached() async throws {
    try await withTemporaryFolder { folder in
      let calibration = folder + "/c"
      try await Self.calibrate(miniature, calibration)
      for (limit, most) in [
        (RemovalLimit.share(0.75), 4_142_907), (.parameters(3_000_000), 3_000_000),
      ] {
        let stated: JSONValue =
          if case .share(let share) = limit { ["size": .number(share)] } else {
            ["parameters": .integer(most)]
          }
        let output = OutputRequest(path: folder + "/\(most)")
        let outcome = try await Self.strip(limit, to: output, calibration: calibration).run()
        let unet = try #require(outcome.parts.first { $0.name == "unet" })
        #expect(unet.parametersAfter <= most && unet.parametersAfter > most - 500_000)
        let errors = try Self.path(outcome).compactMap { $0["error"]?.number }
        #expect(errors.allSatisfy { $0 < 0.2 }, "\(errors)")
        let provenance = try Readers.all.read(output.path).provenance["steps"]?.array?.last
        #expect(provenance?["measured"]?["limit"] == stated)
      }
    }
  }

  /// stable-diffusion.cpp has the shapes of the U-Nets that it loads in its source. ComfyUI loads SDXL's by
  /// the depths of their down blocks.
  @Test func onlyWhatTheProgramLoadsIsRemoved() async throws {
    try await withTemporaryFolder { folder in
      let calibration = folder + "/c"
      try await Self.calibrate(miniatureXL, calibration)
      let cpp = await #expect(throws: (any Error).self) {
        _ = try await Self.strip(
          .error(0.1), to: OutputRequest(path: folder + "/a.gguf", program: "sdcpp"),
          calibration: calibration, of: miniatureXL
        ).run()
      }
      let reason = cpp.map { "\($0)" } ?? ""
      #expect(reason.contains("stable-diffusion.cpp"), "\(reason)")
      #expect(!FileManager.default.fileExists(atPath: calibration + ".blocks.json"))
      let output = OutputRequest(path: folder + "/a.gguf", program: "comfyui")
      let outcome = try await Self.strip(
        .error(0.1), to: output, calibration: calibration, of: miniatureXL
      ).run()
      let names = try Self.path(outcome).compactMap { $0["unit"]?.string }
      #expect(names.count > 1 && !names.contains { $0.contains("down_blocks") }, "\(names)")
      #expect(FileManager.default.fileExists(atPath: output.path))
    }
  }

  /// An interrupted choice keeps the joint errors that it measured.
  @Test func anInterruptedChoiceContinues() async throws {
    try await withTemporaryFolder { folder in
      let calibration = folder + "/c"
      try await Self.calibrate(miniature, calibration)
      func job(_ name: String) -> StripJob {
        Self.strip(
          .error(0.03), to: OutputRequest(path: folder + "/" + name), calibration: calibration)
      }
      let (starts, start) = AsyncStream<Void>.makeStream()
      let running = Mutex<Task<Void, any Error>?>(nil)
      let isChoosing = Mutex(false)
      let task = Task {
        for await _ in starts { break }
        _ = try await job("a").run { event in
          if case .stage(.choosingBlocks) = event { isChoosing.withLock { $0 = true } }
          if case .progress(let done, _) = event, done == 3, isChoosing.withLock({ $0 }) {
            running.withLock { $0?.cancel() }
          }
        }
      }
      running.withLock { $0 = task }
      start.yield()
      let error = await #expect(throws: InterruptedSensitivities.self) { try await task.value }
      #expect(error?.remedy == .repeatCommand)
      let file = try SensitivityFile(path: calibration + ".blocks.json", of: .removal)
      #expect(file.sets.count >= 3)
      let outcome = try await job("b").run()
      let whole = try SensitivityFile(path: calibration + ".blocks.json", of: .removal)
      #expect(Array(whole.sets.prefix(file.sets.count)) == file.sets)
      #expect(whole.sets.count > file.sets.count)
      #expect(try Self.path(outcome).count > 3)
    }
  }

  @Test func whatCannotBeReachedIsRefused() async throws {
    try await withTemporaryFolder { folder in
      let (calibration, other) = (folder + "/c", folder + "/other")
      try await Self.calibrate(miniature, calibration)
      try await Self.calibrate(miniatureXL, other)
      func refusal(
        _ limit: RemovalLimit, _ calibration: String, of model: String = miniature
      ) async -> (text: String, remedy: Remedy?) {
        let job = Self.strip(
          limit, to: OutputRequest(path: folder + "/a"), calibration: calibration, of: model)
        do {
          _ = try await job.run()
          return ("", nil)
        } catch { return ("\(error)", (error as? any RemediableError)?.remedy) }
      }
      let least = await refusal(.share(0.1), calibration)
      #expect(
        least.text.contains(
          "the U-Net of 5,523,876 parameters cannot have 552,387 or fewer; the fewest that the removal "
            + "of blocks leaves are "), "\(least.text)")
      #expect(least.remedy == .adjust(.toSize, .larger))
      let most = await refusal(.parameters(6_000_000), calibration)
      #expect(most.text.hasSuffix("5,523,876 parameters, which is not more than 6,000,000"))
      #expect(most.remedy == .adjust(.toParameters, .smaller))
      let strict = await refusal(.error(1e-7), calibration)
      #expect(strict.text.contains("the removal of any block causes an error above 1.00e-05 %"))
      #expect(strict.remedy == .adjust(.maxError, .larger))
      let foreign = await refusal(.error(0.02), other)
      #expect(foreign.text.hasPrefix("\(other): the calibration belongs to another model: "))

      // The same layers with other weights.
      let coarse = folder + "/coarse.decant"
      _ = try await QuantizeJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: coarse),
        isDryRun: false,
        request: QuantizationRequest(type: "int4-g32", method: "round", keptShare: 0),
        calibration: nil
      ).run()
      let changed = await refusal(.error(0.02), calibration, of: coarse)
      #expect(
        changed.text.hasPrefix(
          "\(calibration): the calibration belongs to another model: in its first call, the "),
        "\(changed.text)")
      #expect(changed.remedy == .recalibrate)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == [
          "c", "c.blocks.json", "coarse.decant", "other",
        ])
    }
  }

  /// A recipe's error is measured beside that of the best blocks of its size.
  @Test func aRecipeIsComparedWithASelection() async throws {
    try await withTemporaryFolder { folder in
      let calibration = folder + "/c"
      try await Self.calibrate(miniature, calibration)
      let log = EventLog()
      let outcome = try await StripJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: folder + "/a"),
        cut: .recipe("bk-sdm-small"), calibration: calibration
      ).run(log.add)
      let removal = try #require(outcome.json["removal"])
      let error = try #require(removal["error"]?.number)
      let selected = try #require(removal["selection"]?["error"]?.number)
      #expect(error > 0.3 && selected < error / 2)
      let parameters = try #require(removal["selection"]?["parameters"]?.integer)
      #expect(parameters <= 3_151_332)
      #expect(
        log.notes.contains {
          $0.hasSuffix("images will be ruined until the model is trained further")
        })
    }
  }
}
