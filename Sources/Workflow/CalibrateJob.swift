internal import Calibration
private import Foundation
internal import ModelSources
internal import Models
private import Quantization
private import Sampling
package import Support

/// Runs prompts through the sampler and records statistics of the inputs of the U-Net's layers, or
/// merges such records.
package struct CalibrateJob: Job {
  package enum Task: Sendable {
    case run(
      model: String, reading: InputOptions, settings: CalibrationRequest, resumes: Bool)
    case merge([String])
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
    case .run(let model, let reading, let settings, let resumes):
      try refuseOverwriting(
        output, replacing: replacing,
        inputs: [model] + reading.composition.inputs + [settings.promptsPath].compactMap { $0 })
      let digest = SourceDigest(try ModelSource.reading(model, reading, events))
      var settings = settings
      try settings.readPrompts()
      let file = try calibrate(
        digest, settings, to: output, replacing: replacing, resuming: resumes, reusing: false,
        remedy: .choose(.resume, purpose: "to continue from there"), events)
      return CalibrationOutcome(file: file)
    case .merge(let paths):
      try refuseOverwriting(output, replacing: replacing, inputs: paths)
      let merged = try CalibrationFile.merging(
        paths.map(CalibrationFile.reading), path: output, tool: "decant \(toolVersion)")
      try requireSpace(merged.leastBytes, for: output)
      try merged.write(replacing: replacing)
      return CalibrationOutcome(file: merged)
    }
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

/// Calibrates the model that `digest` hashes and writes the calibration file, which names the model
/// by the digest of its U-Net.
///
/// - Parameters:
///   - reusing: whether a finished calibration at `path` that would not change is returned as it
///     is.
///   - remedy: how a user continues after an interruption.
///   - checkSpace: called before a calibration is computed in place of one at `path` that cannot be
///     used again, to check the space that more than the calibration needs.
/// - Throws: ``InterruptedCalibration`` when the task is cancelled after the first image,
///   ``CalibrationError``, ``DiskSpaceError``, ``JobError`` or ``BindingError`` for a model that
///   cannot run, or an error of the prompts, the sampler or the weights' source.
func calibrate(
  _ digest: SourceDigest, _ request: CalibrationRequest, to path: String, replacing: Bool,
  resuming: Bool, reusing: Bool, remedy: Remedy, checkSpace: () throws -> Void = {},
  _ events: @escaping EventSink
) throws -> CalibrationFile {
  let model = try Model.bind(digest.watched)
  guard let unet = model[ComponentName.unet] else {
    throw JobError("\(model.source.location): the model has no U-Net")
  }
  let files = FileManager.default
  let mayReuse = reusing && files.fileExists(atPath: path)
  func requireOwnSpace() throws {
    // The next partial file, or the result, is written before the last partial file is deleted.
    let partial = Calibrator.partialPath(of: path)
    let isPartial = files.fileExists(atPath: partial)
    try requireSpace(
      (isPartial ? 1 : 2) * CalibrationFile.leastBytes(modules: unet.modules), for: path,
      beside: isPartial ? nil : PathParts(partial).name)
  }
  if !mayReuse { try requireOwnSpace() }
  let prompts = try request.prompts
  let runs = prompts.runs(seeds: request.seeds)
  try model.check(request.sampling)
  try model.checkMemory(for: request.sampling, images: 0)
  try noteTruncation(of: prompts.texts, by: model, events)
  events(.stage(.reading([model.source.location])))
  let unetDigest = try digest.hexadecimal(of: [ComponentName.unet])
  let subject = try SamplerSubject(
    Sampler(model, arithmetic: request.compute.arithmetic), request.sampling)
  let calibrator = Calibrator(
    path: path, tool: request.compute.calibrationTool,
    model: CalibratedModel(digest: unetDigest), settings: subject.settings,
    modules: unet.modules, replacing: replacing, resuming: resuming)
  if mayReuse {
    if let finished = calibrator.finished(runs) {
      events(.note("\(path) is a calibration of this model with these settings and is used again"))
      return finished
    }
    // Where it may not be replaced, the calibrator refuses it.
    if replacing {
      try checkSpace()
      try requireOwnSpace()
    }
  }
  events(.stage(.calibrating(images: runs.count, size: subject.settings.size)))
  do {
    return try calibrator.calibrate(runs, on: subject) { done, total in
      events(.progress(done: done, total: total))
    }
  } catch is CancellationError where files.fileExists(atPath: calibrator.partialPath) {
    throw InterruptedCalibration(partialPath: calibrator.partialPath, remedy: remedy)
  }
}

extension Compute {
  /// The program in a calibration file, with the arithmetic where it is not the default one, so
  /// that a calibration in one arithmetic is not used again for another.
  fileprivate var calibrationTool: String {
    "decant \(toolVersion)" + (self == .f32 ? "" : " (\(name))")
  }
}

/// The calibration file that a job wrote.
package struct CalibrationOutcome: JobOutcome {
  let file: CalibrationFile

  package var json: JSONValue {
    .object(
      JSONObject([("output", .string(file.path))]).appending(file.provenance))
  }

  package var text: String {
    "\(file.path): \(counted(file.runs.count, "image")), "
      + "\(counted(file.settings.steps, "step")) each, "
      + "\(file.settings.size); "
      + "statistics of \(counted(file.statistics.names.count, "layer"))"
  }
}
