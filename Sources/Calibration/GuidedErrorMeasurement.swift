package import Models
internal import Sampling
internal import Support
internal import Tensors

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
    try relativeError(
      in: try CallReplay(calls, calibration.settings, by: try Sampler(model)), progress: progress)
  }

  /// The same for several models that differ in their U-Nets alone, whose text states are computed once.
  ///
  /// - Parameter base: replays the calls of this measurement with one of the models.
  package func relativeError(
    of model: Model, besides base: CallReplay,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Double {
    try relativeError(in: try base.replacingUNet(of: model), progress: progress)
  }

  private func relativeError(
    in replay: CallReplay, progress: (_ done: Int, _ total: Int) -> Void
  ) throws -> Double {
    var sums: [Int: SquaredError] = [:]
    for (index, call) in calls.enumerated() {
      let expected = call.guided(scale: calibration.settings.guidanceScale)
      sums[call.step, default: SquaredError()] =
        sums[call.step, default: SquaredError()]
        + SquaredError(of: try replay.predict(index).guided, from: expected)
      progress(index + 1, calls.count)
    }
    // In the order of the steps, so that the sum is always the same.
    let errors = sums.sorted { $0.key < $1.key }.map(\.value.relative)
    return errors.isEmpty ? 0 : errors.reduce(0, +) / Double(errors.count)
  }
}
