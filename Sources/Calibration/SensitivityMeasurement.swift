internal import Execution
package import Models
internal import Sampling
internal import Tensors

/// Measures sensitivities: changes one unit of the U-Net after the other and evaluates recorded calls.
///
/// The layers before the changed unit are not evaluated again: each call continues from the original's
/// activations before the unit.
package struct SensitivityMeasurement: Sendable {
  private let model: Model
  private let calibration: CalibrationFile
  private let units: [any MeasurableUnit]
  private let calls: [ReferenceCall]

  /// The squared error of a prediction that is not finite.
  private static let overflow = 1e100

  /// - Parameters:
  ///   - calls: the calls to evaluate, of the calibration.
  package init(
    _ model: Model, _ calibration: CalibrationFile, units: [any MeasurableUnit],
    calls: [ReferenceCall]
  ) {
    self.model = model
    self.calibration = calibration
    self.units = units
    self.calls = calls
  }

  /// Sensitivities of these units and calls of which nothing is measured.
  package var empty: Sensitivities {
    Sensitivities(calls: calls.map(Sensitivities.Call.init), of: units)
  }

  /// Measures what `done` lacks, call by call.
  ///
  /// - Parameters:
  ///   - done: an earlier measurement with the same calls and units.
  ///   - measured: called after each unit with all that is measured.
  ///   - progress: called with the evaluations of the U-Net done and in total.
  /// - Throws: `CancellationError`, or an error of the sampler or the weights.
  package func run(
    continuing done: Sensitivities,
    measured: (Sensitivities) throws -> Void = { _ in },
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Sensitivities {
    var result = done
    let total = calls.count * units.count
    func report() { progress(result.units.reduce(0) { $0 + $1.errors.count }, total) }
    report()
    if result.isComplete { return result }
    let replay = try CallReplay(calls, calibration.settings, by: try Sampler(model))
    let spec = UNetSpec(model.unet)
    let stages = units.map { unit in
      unit.moduleNames.compactMap { UNetStage.index(of: $0, in: spec) }.min()
    }
    for index in calls.indices {
      let missing = units.indices.filter { result.units[$0].errors.count == index }
      if missing.isEmpty { continue }
      var states: [Int: UNetState] = [:]
      let wanted = Set(missing.compactMap { stages[$0] })
      let expected = try replay.predict(index) { state in
        if wanted.contains(state.stage) { states[state.stage] = state }
      }
      for unit in missing {
        let changed = try replay.replacingUNet(of: units[unit].changing(model))
        let found = try changed.predict(index, from: stages[unit].flatMap { states[$0] })
        let sum = SquaredError(of: found.guided, from: expected.guided)
        let error = sum.signal > 0 ? sum.error / sum.signal : 0
        // JSON has no infinity.
        result.units[unit].errors.append(error.isFinite ? error : Self.overflow)
        report()
        try measured(result)
      }
    }
    return result
  }
}
