import Calibration
import Foundation
import Kernels
import Models
import Quantization
import Support
import Synchronization
import Tensors
import TestSupport
import Testing

struct CalibratorTests {
  @Test func writesWhatItReturns() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/all.safetensors"
      let calls = Mutex<[[Int]]>([])
      let file = try calibrator(path).calibrate(runs, on: FakeSubject()) { done, total in
        calls.withLock { $0.append([done, total]) }
      }
      #expect(file.isComplete)
      #expect(file.runs == runs.sorted())
      #expect(calls.withLock { $0 } == (0...15).map { [$0, 15] })
      #expect(try CalibrationFile(path: path) == file)
      #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
      try file.check(against: modules)
      let linear = try #require(file.statistics["block.linear"])
      // Timesteps 900, 500 and 100. Each call has seven rows a branch, and there are five runs.
      #expect(linear.positions == [35, 35, 0, 0, 35, 35, 35, 35])
      #expect(linear.meanSquares()?.count == 5)
      #expect(file.provenance["runs"] == 5)
      #expect(file.provenance["prompts"] == 4)
    }
  }

  @Test func theSameCalibrationGivesTheSameBytes() throws {
    try withTemporaryFolder { folder in
      _ = try calibrator(folder + "/a").calibrate(runs, on: FakeSubject())
      _ = try calibrator(folder + "/b").calibrate(runs.reversed(), on: FakeSubject())
      #expect(try bytes(folder + "/a") == bytes(folder + "/b"))
    }
  }

  @Test(arguments: ["dog", "cat", "bird", "fish"])
  func resumesWhereItWasInterrupted(prompt: String) throws {
    try withTemporaryFolder { folder in
      let (straight, resumed) = (folder + "/straight", folder + "/resumed")
      _ = try calibrator(straight).calibrate(runs, on: FakeSubject())
      #expect(throws: CancellationError.self) {
        try calibrator(resumed).calibrate(runs, on: FakeSubject(interruptedAt: prompt))
      }
      #expect(!FileManager.default.fileExists(atPath: resumed))
      let done = runs.firstIndex { $0.prompt == prompt } ?? 0
      if done > 0 {
        let partial = try CalibrationFile(path: resumed + ".partial")
        #expect(!partial.isComplete)
        #expect(partial.runs == runs[..<done].sorted())
        #expect(throws: CalibrationError.incomplete(path: resumed + ".partial", runs: done)) {
          try partial.check(against: modules)
        }
      }
      let calls = Mutex<[Int]>([])
      _ = try calibrator(resumed, resuming: true).calibrate(runs, on: FakeSubject()) { done, _ in
        calls.withLock { $0.append(done) }
      }
      #expect(calls.withLock { $0.first } == 3 * done)
      #expect(calls.withLock { $0.last } == 15)
      #expect(try bytes(straight) == bytes(resumed))
      #expect(!FileManager.default.fileExists(atPath: resumed + ".partial"))
    }
  }

  @Test func stopsBetweenRunsWhenItsTaskIsCancelled() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.path + "/c"
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      _ = try calibrator(path).calibrate(runs, on: FakeSubject())
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func refusesAnExistingOutputBeforeItRuns() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c"
      _ = try calibrator(path).calibrate([runs[0]], on: FakeSubject())
      #expect(throws: FileError(.exists, path)) {
        try calibrator(path).calibrate(runs, on: FakeSubject(interruptedAt: "dog"))
      }
      _ = try calibrator(path, replacing: true).calibrate(runs, on: FakeSubject())
      #expect(try CalibrationFile(path: path).runs.count == 5)
    }
  }

  @Test func refusesAnExistingPartialFile() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c"
      #expect(throws: CancellationError.self) {
        try calibrator(path).calibrate(runs, on: FakeSubject(interruptedAt: "bird"))
      }
      let error = #expect(throws: CalibrationError.self) {
        try calibrator(path).calibrate(runs, on: FakeSubject())
      }
      #expect(
        error?.description
          == "\(path).partial already exists, left by an interrupted calibration of \(path)")
      #expect(
        error?.remedy
          == .either([
            .choose(.resume, purpose: "to continue it"),
            .choose(.replace, purpose: "to start again"),
          ]))
      let fresh = try calibrator(path, replacing: true).calibrate([runs[4]], on: FakeSubject())
      #expect(fresh.runs == [runs[4]])
      #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
    }
  }

  /// The remedy that a refused `--resume` names works: with `replacing` too, the calibration starts
  /// again.
  @Test func replacesAPartialFileOfAnotherCalibration() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c"
      #expect(throws: CancellationError.self) {
        try calibrator(path).calibrate(runs, on: FakeSubject(interruptedAt: "bird"))
      }
      var other = settings
      other.steps = 7
      let fresh = try calibrator(path, settings: other, replacing: true, resuming: true)
        .calibrate(runs, on: FakeSubject())
      #expect(Set(fresh.runs) == Set(runs))
      #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
    }
  }

  @Test func refusesToResumeAnotherCalibration() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c"
      #expect(throws: CancellationError.self) {
        try calibrator(path).calibrate(runs, on: FakeSubject(interruptedAt: "bird"))
      }
      var other = settings
      other.steps = 7
      func message(_ calibrator: Calibrator, _ runs: [CalibrationRun]) -> String? {
        let error = #expect(throws: CalibrationError.self) {
          try calibrator.calibrate(runs, on: FakeSubject())
        }
        #expect(error?.remedy == .choose(.replace, purpose: "to start again"))
        return error?.description
      }
      #expect(
        message(calibrator(path, settings: other, resuming: true), runs)
          == "\(path).partial belongs to another calibration, with steps 3 instead of 7")
      #expect(
        message(calibrator(path, model: CalibratedModel(digest: "xyz"), resuming: true), runs)
          == "\(path).partial belongs to another calibration, with the model's digest abc instead of "
          + "xyz")
      #expect(
        message(calibrator(path, bands: TimestepBands(count: 1), resuming: true), runs)
          == "\(path).partial belongs to another calibration, with the timestep bands "
          + "[0, 250, 500, 750, 1000] instead of [0, 1000]")
      #expect(
        message(calibrator(path, resuming: true), [runs[0], runs[3]])
          == "\(path).partial contains the run of 'cat' with seed 0, which this calibration does not "
          + "include")
    }
  }

  @Test func startsAgainAfterADamagedPartialFile() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/c"
      let whole = try bytes(calibrator(folder + "/whole").calibrate(runs, on: FakeSubject()).path)
      #expect(throws: CancellationError.self) {
        try calibrator(path).calibrate(runs, on: FakeSubject(interruptedAt: "bird"))
      }
      let partial = try bytes(path + ".partial")
      for damaged in [Array(partial.dropLast(100)), [], Array("text".utf8)] {
        try Data(damaged).write(to: URL(fileURLWithPath: path + ".partial"))
        let error = #expect(throws: CalibrationError.self) {
          try calibrator(path, resuming: true).calibrate(runs, on: FakeSubject())
        }
        #expect(error?.description.hasPrefix("\(path).partial: ") == true)
        #expect(
          error?.description.hasSuffix("; the interrupted calibration cannot be continued") == true)
        #expect(error?.remedy == .choose(.replace, purpose: "to start again"))
        _ = try calibrator(path, replacing: true, resuming: true)
          .calibrate(runs, on: FakeSubject())
        #expect(try bytes(path) == whole)
        #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
        try FileManager.default.removeItem(atPath: path)
      }
      // A folder of that name is never removed.
      try FileManager.default.createDirectory(
        atPath: path + ".partial/x", withIntermediateDirectories: true)
      #expect(throws: FileError(.create, path + ".partial", EISDIR)) {
        try calibrator(path, replacing: true, resuming: true).calibrate(runs, on: FakeSubject())
      }
    }
  }

  @Test func refusesToRunWithoutPrompts() throws {
    try withTemporaryFolder { folder in
      let error = #expect(throws: CalibrationError.self) {
        try calibrator(folder + "/c").calibrate([], on: FakeSubject())
      }
      #expect(error?.description == "a calibration needs at least one prompt and one seed")
    }
  }

  @Test func separatesBranches() throws {
    let collector = StatisticsCollector(
      modules: modules, bands: TimestepBands(count: 1), run: runs[0])
    collector.begin(timestep: 1, branches: [.unconditional, .conditional])
    collector.willRun(
      module: "block.linear",
      input: Tensor(shape: [2, 5], values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
    collector.begin(timestep: 1, branches: [.conditional])
    collector.willRun(
      module: "block.linear", input: Tensor(shape: [1, 5], values: [0, 0, 0, 0, -20]))
    let statistics = try #require(collector.finish()["block.linear"])
    #expect(statistics.maxima == [1, 2, 3, 4, 5, 6, 7, 8, 9, 20])
    #expect(statistics.meanSquares(of: .unconditional) == [1, 4, 9, 16, 25])
    #expect(statistics.meanSquares(of: .conditional) == [18, 24.5, 32, 40.5, 250])
    #expect(statistics.positions == [1, 2])
  }

  @Test func reportsNonfiniteInputs() throws {
    let collector = StatisticsCollector(modules: modules, bands: TimestepBands(), run: runs[1])
    collector.begin(timestep: 441, branches: [.conditional])
    collector.willRun(
      module: "block.linear", input: Tensor(shape: [1, 5], values: [0, 0, .nan, 0, 1]))
    collector.willRun(module: "block.linear", input: Tensor(zeros: [1, 5]))
    let error = #expect(throws: CalibrationError.self) { try collector.finish() }
    #expect(
      error?.description
        == "the input of 'block.linear' is NaN or infinite at timestep 441.0 of the run of 'cat' with "
        + "seed 1; the weights are damaged or overflow float32")
  }

  @Test func reportsSumsThatAreTooLarge() throws {
    let collector = StatisticsCollector(modules: modules, bands: TimestepBands(), run: runs[1])
    collector.begin(timestep: 441, branches: [.conditional])
    collector.willRun(
      module: "block.linear", input: Tensor(shape: [1, 5], values: [0, 0, 0x1p32, 0, 1]))
    let error = #expect(throws: CalibrationError.self) { try collector.finish() }
    #expect(error?.description == "the sums of 'block.linear' exceed 64 bits")
  }

  @Test func reportsUnlistedModules() throws {
    let collector = StatisticsCollector(modules: modules, bands: TimestepBands(), run: runs[1])
    collector.begin(timestep: 441, branches: [.conditional])
    collector.willRun(module: "stranger", input: Tensor(zeros: [1, 5]))
    let error = #expect(throws: CalibrationError.self) { try collector.finish() }
    #expect(
      error?.description == "module 'stranger' ran and is not in the model's list of modules")
  }
}
