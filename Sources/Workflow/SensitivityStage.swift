internal import Calibration
private import ModelSources
internal import Models
internal import Quantization
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
  let path = SensitivityFile.path(beside: calibration.path)
  let existing = isFile(path) ? try SensitivityFile(path: path) : nil
  if let existing, all == nil, existing.isOf(calibration), existing.sensitivities.isComplete,
    !existing.sensitivities.calls.isEmpty,
    !byLayer || existing.sensitivities.units.allSatisfy({ $0.modules.count == 1 })
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
  let units = SensitivityUnit.units(
    of: model[ComponentName.unet]?.modules ?? [], byLayer: byLayer)
  let measurement = SensitivityMeasurement(model, calibration, units: units, calls: calls)
  var file = SensitivityFile(measurement.empty, beside: calibration)
  if let existing, existing.matches(file) {
    file = existing
  } else if existing != nil {
    events(
      .note("\(path) is of another model, other settings, calls or units, and is measured again"))
  }
  // Refused before the work where the folder cannot be written.
  try file.write()
  events(.stage(.measuringSensitivities(units: units.count, calls: calls.count)))
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
    throw InterruptedSensitivities(path: path)
  }
  try file.write()
  return file
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

/// A measurement of sensitivities that was interrupted.
package struct InterruptedSensitivities: InterruptedJob {
  let path: String

  package var description: String { "\(path) keeps the measured sensitivities" }
  package var remedy: Remedy? { .repeatCommand }
}
