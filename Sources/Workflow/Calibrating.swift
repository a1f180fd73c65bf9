internal import Calibration
private import Foundation
internal import ModelSources
internal import Models
private import Quantization
private import Sampling
internal import Support

/// One of several disjoint parts of a calibration's runs, for several machines.
package struct Shard: Sendable, Equatable {
  /// From 1.
  package let index: Int
  package let count: Int

  /// - Precondition: `index` is from 1 to `count`.
  package init(index: Int, of count: Int) {
    precondition((1...count).contains(index), "shard \(index) of \(count)")
    self.index = index
    self.count = count
  }

  /// Every `count`-th run, of those of one size after the other, so that the parts have as many images
  /// of each size, and none is empty while there are enough runs.
  ///
  /// - Throws: ``JobError`` when none is left for this part.
  func part(of runs: [CalibrationRun]) throws -> [CalibrationRun] {
    var sizes: [ImageSize] = []
    for run in runs where !sizes.contains(run.size) { sizes.append(run.size) }
    let sorted = sizes.flatMap { size in runs.filter { $0.size == size } }
    let part = sorted.enumerated().filter { $0.offset % count == index - 1 }.map(\.element)
    if part.isEmpty {
      throw JobError(
        "shard \(index) of \(count) has no run: there are \(counted(runs.count, "run"))",
        remedy: .act("use at most \(runs.count) shards, or more prompts"))
    }
    return part
  }
}

/// Calibrates the model that `digest` hashes and writes the calibration file, which names the model
/// by the digest of its U-Net.
///
/// - Parameters:
///   - shard: the part of the runs to perform; `nil` performs all.
///   - reusing: whether a finished calibration at `path` that would not change is returned as it
///     is.
///   - plan: the calls of the job, which are said before the first.
///   - remedy: how a user continues after an interruption.
///   - checkSpace: called before a calibration is computed in place of one at `path` that cannot be
///     used again, to check the space that more than the calibration needs.
/// - Throws: ``InterruptedCalibration`` when the task is cancelled after the first image, `FileError`
///   for a finished calibration that is neither used nor replaced, ``CalibrationError``,
///   ``DiskSpaceError``, ``JobError`` or ``BindingError`` for a model that cannot run, or an error of
///   the prompts, the sampler or the weights' source.
func calibrated(
  _ digest: SourceDigest, _ request: CalibrationRequest, shard: Shard? = nil, to path: String,
  replacing: Bool,
  resuming: Bool, reusing: Bool, plan: WorkPlan, remedy: Remedy, checkSpace: () throws -> Void = {},
  _ events: @escaping EventSink
) throws -> CalibrationFile {
  let model = try Model.bind(digest.watched)
  guard let unet = model[ComponentName.unet] else {
    throw JobError.noUNet(model.source.location)
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
  let all = try request.runs(of: model)
  let runs = try shard?.part(of: all) ?? all
  try request.check(model)
  try noteTruncation(of: request.prompts.texts, by: model, events)
  events(.stage(.reading([model.source.location])))
  let unetDigest = try digest.hexadecimal(of: [ComponentName.unet])
  let subject = try SamplerSubject(
    Sampler(model, arithmetic: request.compute.arithmetic), request.sampling(of: model),
    sizes: request.sizes(of: model), recordedRuns: all.recorded)
  let calibrator = Calibrator(
    path: path, tool: request.compute.calibrationTool,
    model: CalibratedModel(digest: unetDigest), settings: subject.settings,
    modules: unet.modules, replacing: replacing, resuming: resuming)
  if mayReuse {
    if let finished = calibrator.finished(runs, orFewer: request.limit != nil) {
      let count =
        finished.runs.count < runs.count
        ? ", \(finished.runs.count) of \(runs.count) images," : ""
      events(
        .note(
          "\(path) is a calibration of this model with these settings\(count) and is used again"))
      return finished
    }
    guard replacing else { throw FileError(.exists, path) }
    try checkSpace()
    try requireOwnSpace()
  }
  try calibrator.checkPlaces()
  events(.stage(.estimating))
  let sizes = subject.settings.sizes
  let smallest = sizes.min { $0.width * $0.height < $1.width * $1.height } ?? sizes[0]
  events(.note(try plan.text(for: model, request, size: smallest)))
  events(.stage(.calibrating(images: runs.count, sizes: subject.settings.sizes)))
  let start = ContinuousClock.now
  do {
    return try calibrator.calibrate(
      runs, on: subject, progress: { events(.progress(done: $0, total: $1)) },
      while: { request.limit.map { ContinuousClock.now - start < $0 } ?? true })
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
