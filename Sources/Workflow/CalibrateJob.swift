internal import Calibration
private import Foundation
internal import ModelSources
private import Models
private import Quantization
package import Support

/// Runs prompts through the sampler and records what the U-Net's layers and the U-Net itself receive
/// and give, or merges such records.
package struct CalibrateJob: Job {
  package enum Task: Sendable {
    case run(Run)
    case merge([String])
  }

  /// A calibration of one model.
  package struct Run: Sendable {
    let model: String
    let reading: InputOptions
    let settings: CalibrationRequest
    let resumes: Bool
    let shard: Shard?
    let measures: Set<Measurement>

    /// - Parameters:
    ///   - resumes: whether an interrupted calibration is continued.
    ///   - shard: the part of the runs to perform; `nil` performs all.
    ///   - measures: what is measured with the recorded calls afterwards.
    package init(
      model: String, reading: InputOptions, settings: CalibrationRequest, resumes: Bool,
      shard: Shard? = nil, measures: Set<Measurement> = []
    ) {
      self.model = model
      self.reading = reading
      self.settings = settings
      self.resumes = resumes
      self.shard = shard
      self.measures = measures
    }
  }

  /// What recorded calls measure.
  package enum Measurement: String, CaseIterable, Sendable {
    case sensitivity, blocks
  }

  private let task: Task
  private let output: String
  private let replacing: Bool

  package init(task: Task, output: String, replacing: Bool) {
    self.task = task
    self.output = output
    self.replacing = replacing
  }

  package func perform(_ events: @escaping EventSink) async throws -> CalibrationOutcome {
    switch task {
    case .run(let run): try calibrate(run, events)
    case .merge(let paths): try merge(paths)
    }
  }

  private func calibrate(
    _ run: Run, _ events: @escaping EventSink
  ) throws -> CalibrationOutcome {
    var settings = run.settings
    // A finished calibration is used again where it would not change, else it is not replaced.
    let mayReuse = !replacing && isFile(output)
    if mayReuse {
      _ = try CalibrationFile.reading(output)
    } else {
      try refuseOverwriting(
        output, replacing: replacing,
        inputs: [run.model] + run.reading.composition.inputs
          + [settings.promptsPath].compactMap { $0 })
    }
    let digest = SourceDigest(try ModelSource.reading(run.model, run.reading, events))
    try settings.readPrompts()
    let bound = try Model.bind(digest.watched)
    let all = try settings.runs(of: bound)
    let plan = WorkPlan(
      settings, runs: try run.shard?.part(of: all) ?? all, of: bound,
      measures: run.measures, byLayer: settings.effort == .thorough)
    let file = try calibrated(
      digest, settings, shard: run.shard, to: output, replacing: replacing,
      resuming: run.resumes, reusing: mayReuse, plan: plan,
      remedy: .choose(.resume, purpose: "to continue from there"), events)
    var outcome = CalibrationOutcome(file: file)
    let whole = run.shard == nil ? nil : all
    if run.measures.contains(.sensitivity) {
      outcome.measured.append(
        try measuredSensitivities(
          of: bound, file, partOf: whole, byLayer: settings.effort == .thorough, events))
    }
    if run.measures.contains(.blocks) {
      outcome.measured.append(try measuredBlocks(of: bound, file, partOf: whole, events))
    }
    return outcome
  }

  private func merge(_ paths: [String]) throws -> CalibrationOutcome {
    try refuseOverwriting(output, replacing: replacing, inputs: paths)
    let merged = try CalibrationFile.merging(
      paths.map(CalibrationFile.reading), path: output, tool: "decant \(toolVersion)")
    let measured = try [Sensitivities.Change.rounding, .removal].compactMap {
      try SensitivityFile.merging(beside: paths, to: $0, for: merged)
    }
    try requireSpace(merged.leastBytes, for: output)
    try merged.write(replacing: replacing)
    for file in measured { try file.write() }
    return CalibrationOutcome(file: merged, measured: measured)
  }
}

/// A calibration that was interrupted after its first image.
package struct InterruptedCalibration: InterruptedJob {
  let partialPath: String
  package let remedy: Remedy?

  package var description: String { "\(partialPath) keeps the finished images" }
}

extension CalibrationFile {
  /// Reads a calibration. The error for another file says what the file is.
  static func reading(_ path: String) throws -> CalibrationFile {
    do { return try CalibrationFile(path: path) } catch {
      if isFolder(path) {
        throw CalibrationError.notCalibration(path: path, found: contents(of: path) ?? "a folder")
      }
      guard case CalibrationError.notCalibration(_, let found) = error else { throw error }
      throw CalibrationError.notCalibration(path: path, found: contents(of: path) ?? found)
    }
  }
}

/// The calibration file that a job wrote.
package struct CalibrationOutcome: JobOutcome {
  let file: CalibrationFile
  /// The files beside it that the job wrote or used again.
  var measured: [SensitivityFile] = []

  package var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("output", .string(file.path)), ("calls", .integer(file.calls.count)),
    ]
    for file in measured {
      members.append((file.change == .rounding ? "sensitivities" : "blocks", .string(file.path)))
    }
    return .object(JSONObject(members).appending(file.provenance))
  }

  package var text: String {
    let sizes = alternatives(file.settings.sizes.map(\.description))
    let line =
      "\(file.path): \(counted(file.runs.count, "image")), "
      + "\(counted(file.settings.steps, "step")) each, \(sizes); "
      + "statistics of \(counted(file.statistics.names.count, "layer")), "
      + counted(file.calls.count, "recorded call")
    let measured = measured.map {
      "\($0.path): \($0.change.noun) of \(counted($0.sensitivities.units.count, "unit")) in "
        + counted($0.sensitivities.calls.count, "call")
    }
    return ([line] + measured).joined(separator: "\n")
  }
}
