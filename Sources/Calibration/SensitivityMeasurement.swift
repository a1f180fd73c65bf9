internal import Execution
internal import ModelSources
package import Models
internal import Sampling
internal import Support
internal import Tensors

/// Measures sensitivities: rounds one unit of the U-Net after the other and evaluates recorded calls.
///
/// The layers before the changed unit are not evaluated again: each call continues from the original's
/// activations before the unit.
package struct SensitivityMeasurement: Sendable {
  private let model: Model
  private let calibration: CalibrationFile
  private let units: [SensitivityUnit]
  private let calls: [ReferenceCall]

  /// - Parameters:
  ///   - calls: the calls to evaluate, of the calibration.
  package init(
    _ model: Model, _ calibration: CalibrationFile, units: [SensitivityUnit],
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
    let sampler = try Sampler(model)
    let replay = try CallReplay(calls, calibration.settings, by: sampler)
    let spec = UNetSpec(model.unet)
    let stages = units.map { unit in
      unit.modules.compactMap { UNetStage.index(of: $0.name, in: spec) }.min()
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
        let rounded = CallReplay(
          replay, by: try Sampler(sampler, unetOf: model.rounding(units[unit])))
        let found = try rounded.predict(index, from: stages[unit].flatMap { states[$0] })
        result.units[unit].errors.append(found.guided.squaredError(from: expected.guided))
        report()
        try measured(result)
      }
    }
    return result
  }
}

extension Tensor {
  /// The squared error relative to the squares of `expected`.
  fileprivate func squaredError(from expected: Tensor) -> Double {
    var (error, signal) = (0.0, 0.0)
    for (found, expected) in zip(values, expected.values) {
      error += (Double(found) - Double(expected)) * (Double(found) - Double(expected))
      signal += Double(expected) * Double(expected)
    }
    return signal > 0 ? error / signal : 0
  }
}

extension Model {
  /// The model with the weights of one unit of the U-Net rounded to steps of
  /// ``Sensitivities/relativeStep``.
  fileprivate func rounding(_ unit: SensitivityUnit) throws -> Model {
    let names = Set(unit.modules.map(\.weight.name))
    var source = source
    for index in source.components.indices where source.components[index].name == ComponentName.unet
    {
      source.components[index].weights = CoarseSource(source.components[index].weights, names)
    }
    return try Model.bind(source)
  }
}

/// Weights of which some are rounded to multiples of a step, relative to the root mean square of the
/// tensor.
private struct CoarseSource: WeightSource {
  private let base: any WeightSource
  private let rounded: Set<String>

  init(_ base: any WeightSource, _ rounded: Set<String>) {
    self.base = base
    self.rounded = rounded
  }

  var location: String { base.location }
  var names: [String] { base.names }

  func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name), rounded.contains(name) else { return base.entry(name) }
    return TensorEntry(shape: entry.shape, encoding: .plain(.f32))
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard rounded.contains(name) else { return tensor }
    var values = tensor.floats()
    let squares = values.reduce(0) { $0 + Double($1) * Double($1) }
    let step = Float(
      Sensitivities.relativeStep * (squares / Double(max(1, values.count))).squareRoot())
    if step > 0 {
      for index in values.indices { values[index] = (values[index] / step).rounded() * step }
    }
    return StoredTensor(shape: tensor.shape, floats: values, as: .f32)
  }
}
