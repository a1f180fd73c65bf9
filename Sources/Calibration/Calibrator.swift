private import Foundation
package import Models
package import Quantization
internal import Support
private import Synchronization

/// Samples the image of a run while a collector observes the U-Net.
package protocol CalibrationSubject: Sendable {
  /// U-Net calls of one run, for progress.
  var callsPerRun: Int { get }

  /// Runs the sampler through its last U-Net call. Before each call it calls
  /// ``StatisticsCollector/begin(timestep:branches:)``, and the collector observes the U-Net.
  ///
  /// - Returns: the recorded steps of the run, in their order.
  /// - Throws: the errors of the sampler, and `CancellationError` between two steps.
  func perform(
    _ run: CalibrationRun, observedBy collector: StatisticsCollector
  ) throws -> [ReferenceCall]
}

/// Makes a calibration file run by run, and resumes after an interruption.
///
/// After each run it saves the statistics so far as `OUTPUT.partial`. Because sums are exact, a
/// resumed calibration gives the same bytes as an uninterrupted one.
package struct Calibrator: Sendable {
  private let empty: CalibrationFile
  private let modules: [ModuleSpec]
  private let replacing: Bool
  private let resuming: Bool

  /// - Parameters:
  ///   - path: the file to write.
  ///   - tool: the program, with its version.
  ///   - modules: the U-Net's module list.
  ///   - replacing: whether to replace an existing output or partial file.
  ///   - resuming: whether to continue from an existing partial file.
  package init(
    path: String, tool: String, model: CalibratedModel, settings: CalibrationSettings,
    modules: [ModuleSpec], bands: TimestepBands = TimestepBands(), replacing: Bool = false,
    resuming: Bool = false
  ) {
    empty = CalibrationFile(
      path: path, tool: tool, model: model, settings: settings, modules: modules, bands: bands)
    self.modules = modules
    self.replacing = replacing
    self.resuming = resuming
  }

  /// The file that holds the finished runs of an unfinished calibration.
  package var partialPath: String { Self.partialPath(of: empty.path) }

  /// The ``partialPath`` of a calibration that is written to `path`.
  package static func partialPath(of path: String) -> String {
    siblingPath(of: path, ending: ".partial")
  }

  /// The calibration that exists at the output's path, where this one would write the same bytes:
  /// made by the same program from the same model, settings and runs; `nil` otherwise.
  ///
  /// - Parameter fewer: whether a file of some of the runs is enough.
  package func finished(
    _ runs: [CalibrationRun], orFewer fewer: Bool = false
  ) -> CalibrationFile? {
    guard let file = try? CalibrationFile(path: empty.path), file.isComplete,
      file.tool == empty.tool, file.differences(from: empty).isEmpty,
      file.runs == runs.sorted() || (fewer && Set(file.runs).isSubset(of: runs))
    else { return nil }
    return file
  }

  /// Refuses an output that may not be replaced, and an interrupted calibration that is neither
  /// continued nor replaced. Called before the runs, which can take hours.
  package func checkPlaces() throws {
    if !replacing, FileManager.default.fileExists(atPath: empty.path) {
      throw FileError(.exists, empty.path)
    }
    if !replacing, !resuming, isFile(partialPath) {
      throw CalibrationError.unfinished(path: partialPath, output: empty.path)
    }
  }

  /// Performs the runs that are not done yet, and writes the file.
  ///
  /// - Parameters:
  ///   - progress: called with the U-Net calls done, including those of resumed runs, and the total.
  ///   - continues: asked before each run but the first. The runs after the answer false are left
  ///     out.
  /// - Throws: ``CalibrationError``, `FileError` when the output exists, the errors of the subject,
  ///   and `CancellationError`. The partial file keeps the finished runs in every case.
  package func calibrate(
    _ runs: [CalibrationRun], on subject: some CalibrationSubject,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in },
    while continues: () -> Bool = { true }
  ) throws -> CalibrationFile {
    if runs.isEmpty { throw CalibrationError.noRuns }
    try checkPlaces()
    var file = try start(runs)
    let counter = ProgressCounter(
      done: file.runs.count * subject.callsPerRun, total: runs.count * subject.callsPerRun,
      report: progress)
    counter.report()
    let done = Set(file.runs)
    for run in runs where !done.contains(run) {
      try Cancellation.check()
      if !file.runs.isEmpty, !continues() { break }
      let collector = StatisticsCollector(
        modules: modules, bands: empty.statistics.bands, run: run, onCall: counter.advance)
      let calls = try subject.perform(run, observedBy: collector)
      try file.add(run, collector.finish(), calls)
      try write(file, as: partialPath, replacing: true)
    }
    file.isComplete = true
    try write(file, as: empty.path, replacing: replacing)
    try? FileManager.default.removeItem(atPath: partialPath)
    return file
  }

  /// Why a partial file cannot be continued with these runs; `nil` when it can.
  private func mismatch(
    of partial: CalibrationFile, _ runs: [CalibrationRun]
  ) -> CalibrationError? {
    if let difference = partial.differences(from: empty).first {
      return .otherCalibration(
        path: partialPath, what: difference.what, found: difference.ours,
        expected: difference.theirs)
    }
    let wanted = Set(runs)
    return partial.runs.first { !wanted.contains($0) }.map {
      .otherRun(path: partialPath, run: $0)
    }
  }

  /// The calibration to add runs to: the partial file of an interrupted one, or an empty one.
  private func start(_ runs: [CalibrationRun]) throws -> CalibrationFile {
    guard FileManager.default.fileExists(atPath: partialPath) else { return empty }
    // Starting again removes the partial file, and a folder is no partial file.
    if isFolder(partialPath) { throw FileError(.create, partialPath, EISDIR) }
    guard resuming else {
      if replacing {
        // Otherwise an interrupted calibration would leave the old file as its own.
        try FileManager.default.removeItem(atPath: partialPath)
        return empty
      }
      throw CalibrationError.unfinished(path: partialPath, output: empty.path)
    }
    var partial: CalibrationFile
    do {
      do { partial = try CalibrationFile(path: partialPath) } catch {
        throw CalibrationError.unusablePartial(fault: "\(error)")
      }
      if let error = mismatch(of: partial, runs) { throw error }
    } catch {
      guard replacing else { throw error }
      try FileManager.default.removeItem(atPath: partialPath)
      return empty
    }
    partial.path = empty.path
    partial.tool = empty.tool
    return partial
  }

  private func write(_ file: CalibrationFile, as path: String, replacing: Bool) throws {
    var copy = file
    copy.path = path
    try copy.write(replacing: replacing)
  }
}

/// Counts U-Net calls and reports progress.
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
