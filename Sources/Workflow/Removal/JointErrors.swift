internal import Calibration
internal import ModelSources
internal import Models
private import Sampling
internal import Stripping
internal import Support

/// Measures the errors that removed blocks cause together, and keeps them beside the calibration.
final class JointErrors {
  /// The scores of single units, and the errors of sets.
  private(set) var file: SensitivityFile
  private let model: Model
  private let calibration: CalibrationFile
  private let events: EventSink
  /// The calls in which units are scored and sets are compared.
  private let chosen: [ReferenceCall]
  private var replays: [Int: CallReplay] = [:]
  private var lastWrite = ContinuousClock.now

  /// The largest relative error that the model itself may have in the recorded calls: that of weights
  /// that were rounded after the calibration.
  private static let ownError = 0.05

  /// Measures the scores of all units that the file beside the calibration lacks.
  ///
  /// - Parameter calibration: a calibration of `model` with recorded calls.
  /// - Throws: ``JobError`` where the calls are another model's, ``InterruptedSensitivities``, or an error
  ///   of the file, the sampler or the weights.
  init(of model: Model, _ calibration: CalibrationFile, _ events: @escaping EventSink) throws {
    let own = try GuidedErrorMeasurement(calibration, calls: Array(calibration.calls.prefix(1)))
      .relativeError(of: model)
    if !(own <= Self.ownError) {
      throw JobError(
        "\(calibration.path): the calibration belongs to another model: in its first call, the "
          + "prediction of \(model.source.location) differs by \(QuantizationTarget.error(0).text(own))",
        remedy: .recalibrate)
    }
    self.model = model
    self.calibration = calibration
    self.events = events
    file = try measuredBlocks(of: model, calibration, events)
    let calls = Set(file.sensitivities.calls)
    chosen = calibration.calls.filter { calls.contains(.init(run: $0.run, step: $0.step)) }
  }

  /// The number of calls in which sets are compared.
  var chosenCalls: Int { chosen.count }

  /// The relative error of each unit alone, as ``error(dropping:)``.
  func scored(_ units: [StripUnit]) -> [(unit: StripUnit, error: Double)] {
    let scores = Dictionary(
      zip(file.sensitivities.units.map(\.name), file.sensitivities.relativeErrors)
    ) { first, _ in first }
    // A unit that was deleted from the file is not removed.
    return units.compactMap { unit in scores[unit.name].map { (unit, $0) } }
  }

  /// The relative error of the guided prediction without some blocks, in the chosen calls.
  func error(dropping drops: [String]) throws -> Double { try error(dropping: drops, in: chosen) }

  /// The same in all recorded calls.
  func errorInAllCalls(dropping drops: [String]) throws -> Double {
    events(.stage(.measuringError(calls: calibration.calls.count)))
    return try error(dropping: drops, in: calibration.calls) { [events] in
      events(.progress(done: $0, total: $1))
    }
  }

  private func error(
    dropping drops: [String], in calls: [ReferenceCall],
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Double {
    if let known = file.error(ofDropping: drops, calls: calls.count) { return known }
    let plan = try StripPlan(dropping: drops, for: model.unet)
    let student = try Model.bind(plan.student(of: model.source))
    do {
      let error = try GuidedErrorMeasurement(calibration, calls: calls)
        .relativeError(of: student, besides: try replay(calls), progress: progress)
      // JSON has no other numbers.
      if error.isFinite {
        file.sets.append(.init(drops: drops, calls: calls.count, error: error))
      }
      if ContinuousClock.now - lastWrite > .seconds(10) { try write() }
      return error
    } catch is CancellationError {
      try write()
      throw InterruptedSensitivities(path: file.path, change: .removal)
    }
  }

  /// Writes the errors that are not written yet.
  func write() throws {
    try file.write()
    lastWrite = .now
  }

  private func replay(_ calls: [ReferenceCall]) throws -> CallReplay {
    if let made = replays[calls.count] { return made }
    let made = try CallReplay(calls, calibration.settings, by: try Sampler(model))
    replays[calls.count] = made
    return made
  }

  /// The seconds that a step takes with the model and without some blocks, and the size of its image.
  func secondsPerStep(
    dropping drops: [String]
  ) throws -> (before: Double, after: Double, size: ImageSize) {
    let original = try replay(chosen)
    let plan = try StripPlan(dropping: drops, for: model.unet)
    let student = try original.replacingUNet(of: try Model.bind(plan.student(of: model.source)))
    return (
      try secondsPerCall { _ = try original.predict(0) },
      try secondsPerCall { _ = try student.predict(0) }, chosen[0].run.size
    )
  }
}

extension CalibrationFile {
  /// Reads a calibration with recorded calls, with which errors are measured.
  ///
  /// - Parameter model: the model that the calibration must fit.
  /// - Throws: ``JobError`` without recorded calls, or as ``reading(_:)`` and
  ///   ``check(against:)``.
  static func readingCalls(_ path: String, of model: Model) throws -> CalibrationFile {
    guard let unet = model[ComponentName.unet] else {
      throw JobError.noUNet(model.source.location)
    }
    let file = try reading(path)
    try file.check(against: unet.modules)
    try file.requireCalls()
    return file
  }

  /// - Throws: ``JobError`` without recorded calls.
  func requireCalls() throws {
    guard calls.isEmpty else { return }
    throw JobError(
      "\(path): the calibration has no recorded calls, with which errors are measured",
      remedy: .recalibrate)
  }
}
