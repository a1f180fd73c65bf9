private import Foundation
package import Tensors

/// How far numbers are from those that they stand for, by the usual measures.
///
/// Sums are taken in float64, in the order in which numbers are added, and never over integers.
package struct ErrorMeasures: Sendable, Equatable {
  /// Pairs of numbers.
  package private(set) var count = 0
  /// Sum of squares of the reference.
  package private(set) var signal = 0.0
  /// Sum of squares of the candidate.
  package private(set) var power = 0.0
  /// Sum of squares of candidate minus reference.
  package private(set) var error = 0.0
  /// Sum of products of both.
  package private(set) var product = 0.0
  /// The largest magnitude of candidate minus reference.
  package private(set) var largestDifference = 0.0

  package init() {}

  package init(reference: [Float], candidate: [Float]) {
    add(reference: reference.span, candidate: candidate.span)
  }

  /// Measures over all numbers of two tensors of one shape, widened a run of rows at a time.
  package init(reference: StoredTensor, candidate: StoredTensor) {
    var measures = ErrorMeasures()
    reference.forEachRun(beside: candidate) { measures.add(reference: $0, candidate: $1) }
    self = measures
  }

  /// - Precondition: both hold equally many numbers.
  package mutating func add(reference: Span<Float>, candidate: Span<Float>) {
    precondition(
      reference.count == candidate.count, "\(candidate.count) numbers for \(reference.count)")
    count += reference.count
    for index in 0..<reference.count {
      let expected = Double(reference[index])
      let found = Double(candidate[index])
      let difference = found - expected
      signal += expected * expected
      power += found * found
      error += difference * difference
      product += expected * found
      // A NaN stays: it is unequal to everything, so no comparison hides it.
      largestDifference = difference.isNaN ? .nan : max(largestDifference, abs(difference))
    }
  }

  /// Root mean square of the difference over that of the reference: 0 when nothing differs,
  /// infinite when only the reference is zero.
  package var relativeRMS: Double {
    error == 0 ? 0 : (error / signal).squareRoot()
  }

  /// Signal to quantization noise, in decibels: `10 log10(signal / error)`; infinite when nothing
  /// differs, minus infinity when only the reference is zero.
  package var sqnr: Double { decibels(signal: signal, error: error) }

  /// Peak signal to noise, in decibels: `10 log10(peak^2 / mean squared error)`.
  ///
  /// - Parameter peak: the range of the numbers: 1 for pictures in 0...1, 255 for levels.
  package func psnr(peak: Double) -> Double {
    decibels(signal: peak * peak * Double(count), error: error)
  }

  /// Cosine of the angle between both; 1 when both are zero, 0 when one is.
  package var cosine: Double {
    if signal == 0 && power == 0 { return 1 }
    if signal == 0 || power == 0 { return 0 }
    return product / (signal.squareRoot() * power.squareRoot())
  }
}

/// `10 log10(signal / error)`; infinite without an error, minus infinity without a signal.
func decibels(signal: Double, error: Double) -> Double {
  if error == 0 { return .infinity }
  if signal == 0 { return -.infinity }
  return 10 * log10(signal / error)
}
