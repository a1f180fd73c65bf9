private import Kernels
package import Tensors

/// Sums of squares of one or more calls, in float64.
package struct SquaredError: Sendable, Equatable {
  /// Of the differences from the reference.
  package var error: Double
  /// Of the reference.
  package var signal: Double

  package init(error: Double = 0, signal: Double = 0) {
    self.error = error
    self.signal = signal
  }

  /// - Precondition: both tensors have the same shape.
  package init(of found: Tensor, from expected: Tensor) {
    let measures = ErrorMeasures(reference: expected.values, candidate: found.values)
    self.init(error: measures.error, signal: measures.signal)
  }

  /// The root of the error over the signal: 0 where nothing differs, infinite where only the
  /// reference is zero.
  package var relative: Double { error == 0 ? 0 : (error / signal).squareRoot() }

  package static func + (a: SquaredError, b: SquaredError) -> SquaredError {
    SquaredError(error: a.error + b.error, signal: a.signal + b.signal)
  }
}
