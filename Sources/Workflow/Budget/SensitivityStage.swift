internal import Calibration
private import ModelSources
internal import Models
internal import Quantization
internal import Support

/// Measures what rounding each part of the U-Net does to the guided prediction.
///
/// - Throws: `CancellationError`, or an error of the sampler or the weights.
func sensitivities(
  of model: Model, _ calibration: CalibrationFile, _ events: EventSink
) throws -> Sensitivities {
  let modules = model[ComponentName.unet]?.modules ?? []
  let units = SensitivityUnit.units(of: modules, byLayer: true)
  let calls = spread(6, over: calibration.calls.count).sorted().map { calibration.calls[$0] }
  events(.stage(.measuringSensitivity(units: units.count, calls: calls.count)))
  return try SensitivityMeasurement(model, calibration, units: units, calls: calls).run(progress: {
    events(.progress(done: $0, total: $1))
  })
}

/// The errors of rounding each layer: measured where a calibration has recorded calls, else assumed.
func guidedErrors(
  of model: Model?, modules: [ModuleSpec], _ calibration: CalibrationFile?, _ events: EventSink
) throws -> GuidedErrors {
  guard let model, let calibration, !calibration.calls.isEmpty else {
    return GuidedErrors(assuming: modules)
  }
  return try sensitivities(of: model, calibration, events).guidedErrors(of: modules)
}
