internal import ModelSources
package import Models
internal import Sampling
internal import Support
internal import Tensors

/// Measures sensitivities: rounds one unit of the U-Net after the other and evaluates recorded calls.
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

  /// Measures the units that `done` lacks.
  ///
  /// - Parameters:
  ///   - done: units that were measured before, with the same calls.
  ///   - finished: called after each unit with all measured ones.
  ///   - progress: called with the evaluated calls done and in total.
  /// - Throws: `CancellationError`, or an error of the sampler or the weights.
  package func run(
    continuing done: Sensitivities = Sensitivities(units: []),
    finished: (Sensitivities) throws -> Void = { _ in },
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Sensitivities {
    let known = Dictionary(done.units.map { ($0.name, $0) }) { first, _ in first }
    var result = Sensitivities(units: [])
    let replay = try CallReplay(calls, calibration.settings, by: try Sampler(model))
    var count = units.count { known[$0.name] != nil } * calls.count
    for unit in units {
      if let measured = known[unit.name] {
        result.units.append(measured)
        continue
      }
      let rounded = CallReplay(replay, by: try Sampler(model.rounding(unit)))
      var errors: [Double] = []
      for (index, call) in calls.enumerated() {
        errors.append(
          try rounded.predict(index).guided.squaredError(
            from: call.guided(scale: calibration.settings.guidanceScale)))
        count += 1
        progress(count, units.count * calls.count)
      }
      result.units.append(
        Sensitivities.Unit(
          name: unit.name, modules: unit.modules.map(\.name), weightCount: unit.weightCount,
          errors: errors))
      try finished(result)
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
