internal import Calibration
private import ModelSources
package import Models
internal import Quantization
private import Stripping
package import Support

/// The sensitivities of a model's layers: those beside its calibration. What they lack is measured and
/// kept there.
///
/// - Parameters:
///   - calibration: a calibration of the model, with recorded calls.
///   - all: the runs of which the calibration is a part; `nil` for a whole one.
///   - byLayer: whether each layer is measured alone, and not whole resnets and transformer blocks. A
///     complete file of layers is used for both.
/// - Throws: ``InterruptedSensitivities`` or an error of the file, the sampler or the weights.
func measuredSensitivities(
  of model: Model, _ calibration: CalibrationFile, partOf all: [CalibrationRun]? = nil,
  byLayer: Bool = false, _ events: EventSink
) throws -> SensitivityFile {
  let modules = model[ComponentName.unet]?.modules ?? []
  return try measured(
    .rounding, of: SensitivityUnit.units(of: modules, byLayer: byLayer), in: model, calibration,
    partOf: all, byLayer: byLayer,
    isUsable: { !byLayer || $0.units.allSatisfy { $0.modules.count == 1 } }, events)
}

/// The scores of the blocks that a model's U-Net can lose: those beside its calibration. What they lack
/// is measured and kept there.
///
/// - Parameters: those of ``measuredSensitivities(of:_:partOf:byLayer:_:)``.
func measuredBlocks(
  of model: Model, _ calibration: CalibrationFile, partOf all: [CalibrationRun]? = nil,
  _ events: EventSink
) throws -> SensitivityFile {
  try measured(
    .removal, of: StripUnit.all(of: model.unet), in: model, calibration, partOf: all,
    byLayer: false, isUsable: { _ in true }, events)
}

/// The sensitivities of units to a change.
///
/// - Parameters:
///   - byLayer: whether the calls are those for layers.
///   - isUsable: whether a complete file of the calibration is used as it is.
private func measured(
  _ change: Sensitivities.Change, of units: [any MeasurableUnit], in model: Model,
  _ calibration: CalibrationFile, partOf all: [CalibrationRun]?, byLayer: Bool,
  isUsable: (Sensitivities) -> Bool, _ events: EventSink
) throws -> SensitivityFile {
  let path = SensitivityFile.path(beside: calibration.path, of: change)
  let existing = isFile(path) ? try SensitivityFile(path: path, of: change) : nil
  if let existing, all == nil, existing.isOf(calibration), existing.sensitivities.isComplete,
    !existing.sensitivities.calls.isEmpty, isUsable(existing.sensitivities)
  {
    return existing
  }
  let steps = Set(calibration.calls.map(\.step)).sorted()
  let chosen = Set(
    SensitivityUnit.calls(
      of: Array(all?.recorded ?? Set(calibration.calls.map(\.run))), steps: steps,
      byLayer: byLayer))
  let calls = calibration.calls.filter {
    chosen.contains(Sensitivities.Call(run: $0.run, step: $0.step))
  }
  let measurement = SensitivityMeasurement(model, calibration, units: units, calls: calls)
  var file = SensitivityFile(measurement.empty, to: change, beside: calibration)
  if let existing, existing.matches(file) {
    file = existing
  } else if existing != nil {
    events(
      .note("\(path) is of another model, other settings, calls or units, and is measured again"))
  }
  // Refused before the work where the folder cannot be written.
  try file.write()
  events(
    .stage(
      change == .rounding
        ? .measuringSensitivities(units: units.count, calls: calls.count)
        : .measuringBlocks(units: units.count, calls: calls.count)))
  var lastWrite = ContinuousClock.now
  do {
    file.sensitivities = try measurement.run(continuing: file.sensitivities) { measured in
      file.sensitivities = measured
      if ContinuousClock.now - lastWrite > .seconds(10) {
        try file.write()
        lastWrite = .now
      }
    } progress: {
      events(.progress(done: $0, total: $1))
    }
  } catch is CancellationError {
    try file.write()
    throw InterruptedSensitivities(path: path, change: change)
  }
  try file.write()
  return file
}

extension StripUnit: MeasurableUnit {
  package var moduleNames: [String] { blocks }
  package var weightCount: Int { parameters }

  package func changing(_ model: Model) throws -> Model {
    let plan = try StripPlan(dropping: drops, for: model.unet)
    return try Model.bind(plan.student(of: model.source))
  }
}

/// The errors of rounding each layer: measured where a calibration has recorded calls, else assumed.
///
/// - Parameter model: `nil` for a part of a model.
func guidedErrors(
  of model: Model?, modules: [ModuleSpec], _ calibration: CalibrationFile?, _ events: EventSink
) throws -> GuidedErrors {
  guard let model, let calibration, !calibration.calls.isEmpty else {
    return GuidedErrors(assuming: modules)
  }
  return try measuredSensitivities(of: model, calibration, events).sensitivities
    .guidedErrors(of: modules)
}

extension SensitivityFile {
  /// Whether the file was measured with the calls of a calibration.
  fileprivate func isOf(_ calibration: CalibrationFile) -> Bool {
    model == calibration.model && settings == calibration.settings
      && Set(sensitivities.calls).isSubset(
        of: calibration.calls.map { Sensitivities.Call(run: $0.run, step: $0.step) })
  }
}

/// A measurement of sensitivities or of block scores that was interrupted.
package struct InterruptedSensitivities: InterruptedJob {
  let path: String
  let change: Sensitivities.Change

  package var description: String { "\(path) keeps the measured \(change.noun)" }
  package var remedy: Remedy? { .repeatCommand }
}
