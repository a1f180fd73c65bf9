private import Foundation
package import Models
package import Quantization
internal import Support
private import Synchronization

/// Something that can make the picture of a run while a collector watches its U-Net.
package protocol CalibrationSubject: Sendable {
  /// Calls of the U-Net that one run makes, for progress.
  var callsPerRun: Int { get }

  /// Runs the sampler up to the last call of the U-Net, announcing each call to `collector` and
  /// giving it to the U-Net as its observer.
  ///
  /// - Throws: what the sampler throws; `CancellationError` between two steps.
  func perform(_ run: CalibrationRun, watchedBy collector: StatisticsCollector) throws
}

/// Makes a calibration file: run after run, with nothing lost when it is interrupted.
///
/// After each run everything so far is saved beside the output, as `OUTPUT.partial`. Since sums are
/// exact, a calibration that went on from there gives the same bytes as one that never stopped.
package struct Calibrator: Sendable {
  private let blank: CalibrationFile
  private let modules: [ModuleSpec]
  private let replacing: Bool
  private let resuming: Bool

  /// - Parameters:
  ///   - path: the file to write.
  ///   - tool: the program, with its version.
  ///   - modules: the U-Net's list.
  ///   - replacing: whether a file at `path`, or one that is left beside it, may be replaced.
  ///   - resuming: whether to go on from what an interrupted calibration left.
  package init(
    path: String, tool: String, model: CalibratedModel, settings: CalibrationSettings,
    modules: [ModuleSpec], bands: TimestepBands = TimestepBands(), replacing: Bool = false,
    resuming: Bool = false
  ) {
    blank = CalibrationFile(
      path: path, tool: tool, model: model, settings: settings, modules: modules, bands: bands)
    self.modules = modules
    self.replacing = replacing
    self.resuming = resuming
  }

  /// Where what is done so far is kept.
  package var partialPath: String { blank.path + ".partial" }

  /// Runs all of `runs` that are not done yet, and writes the file.
  ///
  /// - Parameter progress: called with calls of the U-Net made so far, those of resumed runs
  ///   counted, and in all.
  /// - Throws: ``CalibrationError``, `FileError` when the output stands in the way, what the
  ///   subject throws, and `CancellationError`. Whatever it is, finished runs are kept.
  package func calibrate(
    _ runs: [CalibrationRun], on subject: some CalibrationSubject,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> CalibrationFile {
    if runs.isEmpty { throw CalibrationError.noRuns }
    // What would fail after hours fails now.
    if !replacing, FileManager.default.fileExists(atPath: blank.path) {
      throw FileError(.exists, blank.path)
    }
    var file = try start(runs)
    let counter = ProgressCounter(
      done: file.runs.count * subject.callsPerRun, total: runs.count * subject.callsPerRun,
      report: progress)
    counter.report()
    let done = Set(file.runs)
    for run in runs where !done.contains(run) {
      try Task.checkCancellation()
      let collector = StatisticsCollector(
        modules: modules, bands: blank.statistics.bands, run: run, onCall: counter.advance)
      try subject.perform(run, watchedBy: collector)
      try file.add(run, collector.finish())
      try write(file, as: partialPath, replacing: true)
    }
    file.isComplete = true
    try write(file, as: blank.path, replacing: replacing)
    try? FileManager.default.removeItem(atPath: partialPath)
    return file
  }

  /// The calibration to add to: what is left of an interrupted one, or a blank one.
  private func start(_ runs: [CalibrationRun]) throws -> CalibrationFile {
    guard FileManager.default.fileExists(atPath: partialPath) else { return blank }
    guard resuming else {
      if replacing {
        // It would be taken for what this one leaves when it is interrupted.
        try FileManager.default.removeItem(atPath: partialPath)
        return blank
      }
      throw CalibrationError.unfinished(path: partialPath, output: blank.path)
    }
    var partial = try CalibrationFile(path: partialPath)
    for difference in partial.differences(from: blank) {
      throw CalibrationError.otherCalibration(
        path: partialPath, what: difference.what, found: difference.ours,
        expected: difference.theirs)
    }
    let wanted = Set(runs)
    if let other = partial.runs.first(where: { !wanted.contains($0) }) {
      throw CalibrationError.otherRun(path: partialPath, run: other)
    }
    partial.path = blank.path
    partial.tool = blank.tool
    return partial
  }

  private func write(_ file: CalibrationFile, as path: String, replacing: Bool) throws {
    var copy = file
    copy.path = path
    try copy.write(replacing: replacing)
  }
}

/// Counts calls of the U-Net.
private final class ProgressCounter: Sendable {
  private let done: Mutex<Int>
  private let total: Int
  private let onChange: @Sendable (Int, Int) -> Void

  init(done: Int, total: Int, report: @escaping @Sendable (Int, Int) -> Void) {
    self.done = Mutex(done)
    self.total = total
    onChange = report
  }

  func report() { onChange(done.withLock { $0 }, total) }

  func advance() {
    let done = done.withLock {
      $0 = min($0 + 1, total)
      return $0
    }
    onChange(done, total)
  }
}
