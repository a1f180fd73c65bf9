package import Models
package import Quantization
private import Tensors

/// How much the guided prediction suffers when one unit after another is changed: rounded coarsely, or
/// removed.
///
/// Errors are squared relative errors of the guided prediction, on the inputs of recorded calls.
package struct Sensitivities: Sendable, Equatable {
  /// What is done to a unit.
  package enum Change: Sendable {
    /// The weights of its layers are rounded to steps of ``Sensitivities/relativeStep``.
    case rounding
    case removal
  }

  /// The width of the steps to which weights were rounded, relative to the root mean square of a
  /// layer's weights. Fine enough that errors are proportional to the squared step.
  package static let relativeStep = 0.18

  /// A recorded call, without its tensors.
  package struct Call: Sendable, Hashable, Comparable {
    package let run: CalibrationRun
    package let step: Int

    package init(run: CalibrationRun, step: Int) {
      self.run = run
      self.step = step
    }

    init(_ call: ReferenceCall) { self.init(run: call.run, step: call.step) }

    package static func < (left: Call, right: Call) -> Bool {
      left.run == right.run ? left.step < right.step : left.run < right.run
    }
  }

  /// The errors of one unit.
  package struct Unit: Sendable, Equatable {
    package let name: String
    /// The names of the layers that are rounded, or of the blocks that are removed.
    package let modules: [String]
    /// The weights of the layers, or the parameters that are removed.
    package let weightCount: Int
    /// The squared relative error of the guided prediction in each call. Calls that are not measured
    /// yet are absent from the end.
    package var errors: [Double]

    package init(name: String, modules: [String], weightCount: Int, errors: [Double]) {
      self.name = name
      self.modules = modules
      self.weightCount = weightCount
      self.errors = errors
    }
  }

  /// The calls that are measured, sorted.
  package var calls: [Call]
  /// In the order of the U-Net.
  package var units: [Unit]

  package init(calls: [Call], units: [Unit]) {
    self.calls = calls
    self.units = units
  }

  /// Sensitivities of units of which nothing is measured.
  package init(calls: [Call], of units: [any MeasurableUnit]) {
    self.calls = calls
    self.units = units.map {
      Unit(name: $0.name, modules: $0.moduleNames, weightCount: $0.weightCount, errors: [])
    }
  }

  /// Whether every unit is measured in every call.
  package var isComplete: Bool { units.allSatisfy { $0.errors.count == calls.count } }

  /// The relative error of the guided prediction that each unit alone causes, as
  /// ``GuidedErrorMeasurement`` measures it for calls of the same power: for each step the root of the
  /// mean of squared errors over the step's calls; then the mean over steps.
  package var relativeErrors: [Double] {
    guard !calls.isEmpty, isComplete else { return [] }
    let steps = Dictionary(grouping: calls.indices) { calls[$0].step }.sorted { $0.key < $1.key }
    return units.map { unit in
      let errors = steps.map { _, calls in
        (calls.reduce(0) { $0 + unit.errors[$1] } / Double(calls.count)).squareRoot()
      }
      return errors.reduce(0, +) / Double(errors.count)
    }
  }

  /// The sensitivity of each unit: the mean over calls of its error, each divided by the mean error of
  /// all units in that call, for a step of the root mean square of the weights.
  ///
  /// Early and late steps count alike, because errors of each call are normalised.
  package var values: [Double] {
    guard !calls.isEmpty, !units.isEmpty, isComplete else { return [] }
    let means = calls.indices.map { call in
      units.reduce(0) { $0 + $1.errors[call] } / Double(units.count)
    }
    return units.map { unit in
      let relative = zip(unit.errors, means).reduce(0) { $0 + ($1.1 > 0 ? $1.0 / $1.1 : 0) }
      return relative / Double(calls.count) / (Self.relativeStep * Self.relativeStep)
    }
  }

  /// The errors and sensitivities of layers. The layers of a unit share one half of its error by their
  /// weights and the other as the prior says (`GuidedErrors.init(assuming:)`): with the prior alone, a
  /// budget would save bits wherever the prior is too low.
  ///
  /// - Parameter modules: the U-Net's layers.
  package func guidedErrors(of modules: [ModuleSpec]) -> GuidedErrors {
    let specs = Dictionary(uniqueKeysWithValues: modules.map { ($0.name, $0) })
    let prior = GuidedErrors(assuming: modules)
    var sensitivities: [String: Double] = [:]
    var calls: [String: [Double]] = [:]
    for (unit, value) in zip(units, values) {
      let layers = unit.modules.compactMap { specs[$0] }
      let total = layers.reduce(0) { $0 + prior.sensitivity(of: $1) }
      for layer in layers where total > 0 {
        let share =
          (prior.sensitivity(of: layer) / total
            + Double(layer.weight.shape.count) / Double(max(1, unit.weightCount))) / 2
        sensitivities[layer.name] = share * value
        calls[layer.name] = unit.errors.map {
          share * $0 / (Self.relativeStep * Self.relativeStep)
        }
      }
    }
    return GuidedErrors(sensitivities: sensitivities, calls: calls)
  }

  /// Joins the calls of measurements of the same units.
  ///
  /// - Returns: `nil` when the units differ, a call is in two of them, or one is incomplete.
  package static func merging(_ parts: [Sensitivities]) -> Sensitivities? {
    guard let first = parts.first else { return nil }
    func identity(_ part: Sensitivities) -> [Unit] {
      part.units.map {
        Unit(name: $0.name, modules: $0.modules, weightCount: $0.weightCount, errors: [])
      }
    }
    let units = identity(first)
    guard parts.allSatisfy({ identity($0) == units && $0.isComplete }) else { return nil }
    var columns: [(call: Call, errors: [Double])] = parts.flatMap { part in
      part.calls.indices.map { index in
        (part.calls[index], part.units.map { $0.errors[index] })
      }
    }
    columns.sort { $0.call < $1.call }
    let calls = columns.map(\.call)
    guard Set(calls).count == calls.count else { return nil }
    return Sensitivities(
      calls: calls,
      units: units.enumerated().map { index, unit in
        Unit(
          name: unit.name, modules: unit.modules, weightCount: unit.weightCount,
          errors: columns.map { $0.errors[index] })
      })
  }
}
