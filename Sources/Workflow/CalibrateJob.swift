internal import Calibration
private import Foundation
internal import ModelSources
internal import Models
private import Quantization
private import Sampling
package import Support

/// Runs prompts through the sampler and records what the U-Net's layers see; or joins such records.
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

  package func run(_ events: @escaping EventSink) async throws -> CalibrationOutcome {
    switch task {
    case .run(let model, let reading, let settings, let resumes):
      try refuseOverwriting(
        output, replacing: replacing,
        inputs: [model] + reading.composition.inputs + [settings.promptsPath].compactMap { $0 })
      let bound = try Model.bind(try ModelSource.reading(model, reading))
      let file = try calibrate(
        bound, settings, to: output, replacing: replacing, resuming: resumes,
        goingOnBy: replacing ? "--resume --force" : "--resume", events)
      return CalibrationOutcome(file: file)
    case .merge(let paths):
      try refuseOverwriting(output, replacing: replacing, inputs: paths)
      let merged = try CalibrationFile.merging(
        paths.map { try CalibrationFile(path: $0) }, path: output, tool: "decant \(toolVersion)")
      try merged.write(replacing: replacing)
      return CalibrationOutcome(file: merged)
    }
  }
}

/// A calibration that was interrupted after its first picture.
package struct InterruptedCalibration: Error, CustomStringConvertible {
  let partialPath: String
  /// What makes it go on, for people.
  let remedy: String

  package var description: String {
    "\(partialPath) keeps the pictures that are done, and \(remedy) goes on from there"
  }
}

/// Calibrates `model` and writes the file.
///
/// - Parameter remedy: what a user gives to go on after an interruption.
/// - Throws: ``InterruptedCalibration`` where finished pictures are kept.
func calibrate(
  _ model: Model, _ request: CalibrationRequest, to path: String, replacing: Bool, resuming: Bool,
  goingOnBy remedy: String, _ events: @escaping EventSink
) throws -> CalibrationFile {
  guard let unet = model[ComponentName.unet] else {
    throw JobError("\(model.source.location): there is no U-Net")
  }
  let prompts = try request.prompts
  let runs = prompts.runs(seeds: request.seeds)
  try model.check(request.sampling)
  try noteCuts(prompts.texts, of: model, events)
  events(.stage("reading \(model.source.location)"))
  let digest = SourceDigest()
  let watched = digest.watching(ComponentName.unet, unet.weights)
  for name in watched.names {
    try Swift.Task.checkCancellation()
    _ = try watched.tensor(name)
  }
  let subject = try SamplerSubject(
    Sampler(model, arithmetic: request.compute.arithmetic), steps: request.steps,
    width: request.size?.width,
    height: request.size?.height)
  let calibrator = Calibrator(
    path: path, tool: "decant \(toolVersion)",
    model: CalibratedModel(digest: digest.hexadecimal), settings: subject.settings,
    modules: unet.modules, replacing: replacing, resuming: resuming)
  events(
    .stage(
      "calibrating with \(counted(runs.count, "picture")) of "
        + "\(subject.settings.width)x\(subject.settings.height)"))
  do {
    return try calibrator.calibrate(runs, on: subject) { done, total in
      events(.progress(done: done, total: total))
    }
  } catch is CancellationError where FileManager.default.fileExists(atPath: calibrator.partialPath)
  {
    throw InterruptedCalibration(partialPath: calibrator.partialPath, remedy: remedy)
  }
}

/// What a calibration found.
package struct CalibrationOutcome: JobOutcome {
  let file: CalibrationFile

  package var json: JSONValue {
    .object(
      JSONObject([("output", .string(file.path))]).appending(file.provenance))
  }

  package var text: String {
    "\(file.path): \(counted(file.runs.count, "picture")), "
      + "\(counted(file.settings.steps, "step")) each, "
      + "\(file.settings.width)x\(file.settings.height); "
      + "\(counted(file.statistics.names.count, "layer")) watched"
  }
}
