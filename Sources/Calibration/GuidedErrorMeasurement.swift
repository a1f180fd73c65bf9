package import Models
package import Quantization
internal import Sampling
internal import Support
internal import Tensors

extension Sensitivities {
  /// The errors and sensitivities of layers. Those of a unit are divided among its layers by their
  /// numbers of weights.
  ///
  /// - Parameter modules: the U-Net's layers.
  package func guidedErrors(of modules: [ModuleSpec]) -> GuidedErrors {
    let perWeight = perWeight
    let owners = Dictionary(
      units.flatMap { unit in unit.modules.map { ($0, unit) } }, uniquingKeysWith: { $1 })
    var sensitivities: [String: Double] = [:]
    var calls: [String: [Double]] = [:]
    for module in modules {
      guard let sensitivity = perWeight[module.name], let unit = owners[module.name] else {
        continue
      }
      let count = Double(module.weight.shape.count)
      sensitivities[module.name] = sensitivity * count
      let share = count / Double(max(1, unit.weightCount))
      calls[module.name] = unit.errors.map {
        share * $0 / (Self.relativeStep * Self.relativeStep)
      }
    }
    return GuidedErrors(sensitivities: sensitivities, calls: calls)
  }
}

/// Measures the error of the guided prediction of a changed model, on the inputs of recorded calls.
package struct GuidedErrorMeasurement: Sendable {
  private let calibration: CalibrationFile
  private let calls: [ReferenceCall]

  /// - Parameter calls: the calls to evaluate, of the calibration.
  package init(_ calibration: CalibrationFile, calls: [ReferenceCall]) {
    self.calibration = calibration
    self.calls = calls
  }

  /// The relative error of the guided prediction: for each step the root of the sum of squared errors
  /// over that of squares, both over the step's calls; then the mean over steps.
  ///
  /// - Parameters:
  ///   - model: the changed model.
  ///   - progress: called with the evaluated calls done and in total.
  /// - Throws: `CancellationError`, or an error of the sampler or the weights.
  package func relativeError(
    of model: Model, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Double {
    let sampler = try Sampler(model)
    let conditionings = try sampler.conditionings(of: calls, in: calibration)
    var sums: [Int: (error: Double, signal: Double)] = [:]
    for (index, call) in calls.enumerated() {
      guard let conditioning = conditionings[call.run] else { continue }
      let prediction = try sampler.predict(
        call.input, timestep: call.timestep, conditioning: conditioning, step: call.step)
      let expected = call.guided(scale: calibration.settings.guidanceScale)
      var (error, signal) = sums[call.step] ?? (0, 0)
      for (found, wanted) in zip(prediction.guided.values, expected.values) {
        error += (Double(found) - Double(wanted)) * (Double(found) - Double(wanted))
        signal += Double(wanted) * Double(wanted)
      }
      sums[call.step] = (error, signal)
      progress(index + 1, calls.count)
    }
    // In the order of the steps, so that the sum is always the same.
    let errors = sums.sorted { $0.key < $1.key }.map { _, sum in
      sum.signal > 0 ? (sum.error / sum.signal).squareRoot() : 0
    }
    return errors.isEmpty ? 0 : errors.reduce(0, +) / Double(errors.count)
  }
}
