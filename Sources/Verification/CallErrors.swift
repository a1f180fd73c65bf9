package import Calibration
package import Support
internal import Tensors

/// Mean, median and worst of relative errors over steps. NaN where any of them is.
package struct ErrorSpread: Sendable, Equatable {
  package let mean: Double
  /// The middle one, or the mean of the two in the middle.
  package let median: Double
  package let worst: Double

  /// `nil` if there are no values.
  package init?(_ values: [Double]) {
    if values.isEmpty { return nil }
    self.init(of: values)
  }

  /// - Precondition: `values` is not empty.
  init(of values: [Double]) {
    mean = values.mean
    worst = values.largest
    if worst.isNaN {
      median = .nan
    } else {
      let sorted = values.sorted()
      median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
  }
}

/// A value for each prediction of a step.
package struct Predictions<Value: Sendable>: Sendable {
  package let conditional: Value
  /// `nil` without guidance.
  package let unconditional: Value?
  /// After guidance; the conditional one without it.
  package let guided: Value

  package init(conditional: Value, unconditional: Value?, guided: Value) {
    self.conditional = conditional
    self.unconditional = unconditional
    self.guided = guided
  }

  func map<Other>(_ change: (Value) -> Other) -> Predictions<Other> {
    Predictions<Other>(
      conditional: change(conditional), unconditional: unconditional.map(change),
      guided: change(guided))
  }
}

extension Predictions: Equatable where Value: Equatable {}

/// The errors of a model in one call, for the reference's inputs.
package struct CallError: Sendable, Equatable {
  /// Index into the scheduler's timesteps.
  package let step: Int
  package let timestep: Double
  package let size: ImageSize
  package let predictions: Predictions<SquaredError>

  package init(
    step: Int, timestep: Double, size: ImageSize, predictions: Predictions<SquaredError>
  ) {
    self.step = step
    self.timestep = timestep
    self.size = size
    self.predictions = predictions
  }

  init(_ call: ReferenceCall, _ found: Predictions<Tensor>, guidanceScale: Double) {
    var unconditional: SquaredError?
    if let ours = found.unconditional, let theirs = call.unconditional {
      unconditional = SquaredError(of: ours, from: theirs)
    }
    self.init(
      step: call.step, timestep: Double(call.timestep), size: call.run.size,
      predictions: Predictions(
        conditional: SquaredError(of: found.conditional, from: call.conditional),
        unconditional: unconditional,
        guided: SquaredError(of: found.guided, from: call.guided(scale: guidanceScale))))
  }
}

/// The errors of a model over recorded calls, for the reference's inputs (teacher-forced).
package struct CallErrors: Sendable, Equatable {
  /// The errors at one step.
  package struct Step: Sendable, Equatable {
    package let step: Int
    package let timestep: Double
    /// Relative errors, pooled over the calls: the root of the sum of squared differences over the
    /// sum of the reference's squares.
    package let pooled: Predictions<Double>
    /// Relative errors of the guided prediction of single calls.
    package let guided: VerificationReport.Spread
  }

  package let calls: [CallError]
  /// In the order of a run.
  package let steps: [Step]

  /// - Precondition: `calls` is not empty.
  package init(_ calls: [CallError]) {
    precondition(!calls.isEmpty, "errors of no calls")
    self.calls = calls
    let places = Dictionary(grouping: calls) { StepPlace(step: $0.step, timestep: $0.timestep) }
    steps = places.sorted { $0.key < $1.key }.compactMap { place, calls in
      guard let guided = VerificationReport.Spread(calls.map(\.predictions.guided.relative))
      else { return nil }
      let unconditional = calls.compactMap(\.predictions.unconditional)
      let zero = SquaredError()
      return Step(
        step: place.step, timestep: place.timestep,
        pooled: Predictions(
          conditional: calls.map(\.predictions.conditional).reduce(zero, +),
          unconditional: unconditional.isEmpty ? nil : unconditional.reduce(zero, +),
          guided: calls.map(\.predictions.guided).reduce(zero, +)
        ).map(\.relative), guided: guided)
    }
  }

  /// Over the steps.
  package var spreads: Predictions<ErrorSpread> {
    Predictions(
      conditional: ErrorSpread(of: steps.map(\.pooled.conditional)),
      unconditional: ErrorSpread(steps.compactMap(\.pooled.unconditional)),
      guided: ErrorSpread(of: steps.map(\.pooled.guided)))
  }

  /// The sizes of the images, the first call's first.
  package var sizes: [ImageSize] {
    calls.map(\.size).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// The errors of the calls of one size; `nil` if there are none.
  package func of(_ size: ImageSize) -> CallErrors? {
    let calls = calls.filter { $0.size == size }
    return calls.isEmpty ? nil : CallErrors(calls)
  }
}

/// A step of a schedule. Some schedulers have a timestep twice.
struct StepPlace: Hashable, Comparable {
  let step: Int
  let timestep: Double

  /// In the order of a run: from noise to image.
  static func < (a: StepPlace, b: StepPlace) -> Bool {
    (a.step, b.timestep) < (b.step, a.timestep)
  }
}
