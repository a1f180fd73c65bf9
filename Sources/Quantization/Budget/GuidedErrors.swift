package import Models

/// What rounding each layer does to the guided prediction, from measurements or from a prior.
package struct GuidedErrors: Sendable {
  /// The sensitivity of a layer: what the square of a relative step counts, by the module's name.
  private let sensitivities: [String: Double]
  /// For each layer and call, the squared relative error of the guided prediction for a relative step
  /// of 1; empty for a prior.
  private let calls: [String: [Double]]

  /// - Parameters:
  ///   - sensitivities: relative to each other.
  ///   - calls: squared relative errors of the guided prediction, as many for each layer.
  package init(sensitivities: [String: Double], calls: [String: [Double]]) {
    self.sensitivities = sensitivities
    self.calls = calls
  }

  /// The errors of layers under other names, without those that have none.
  ///
  /// - Parameter names: the names here, by the other ones.
  package func renamed(_ names: [String: String]) -> GuidedErrors {
    func renamed<Value>(_ values: [String: Value]) -> [String: Value] {
      names.compactMapValues { values[$0] }
    }
    return GuidedErrors(sensitivities: renamed(sensitivities), calls: renamed(calls))
  }

  /// Whether errors of calls were measured, so that ``predicted(_:)`` returns a number.
  package var isMeasured: Bool { !calls.isEmpty }

  /// The sensitivity of a layer. Layers without one count like the most sensitive layer.
  package func sensitivity(of module: ModuleSpec) -> Double {
    sensitivities[module.name] ?? sensitivities.values.max() ?? 1
  }

  /// The relative error of the guided prediction that rounding to nearest is predicted to have: the
  /// mean over calls of the root of the sum of all layers' squared errors. `nil` for a prior.
  ///
  /// - Parameter squaredSteps: the squared relative step of each layer.
  package func predicted(
    _ squaredSteps: some Sequence<(name: String, squaredStep: Double)>
  ) -> Double? {
    guard let count = calls.values.first?.count, count > 0 else { return nil }
    var sums = [Double](repeating: 0, count: count)
    for (name, squaredStep) in squaredSteps {
      guard let errors = calls[name] else { continue }
      for call in sums.indices { sums[call] += errors[call] * squaredStep }
    }
    return sums.reduce(0) { $0 + $1.squareRoot() } / Double(count)
  }
}
