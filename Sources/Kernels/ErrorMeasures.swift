private import Foundation
package import Tensors

/// Sums over pairs of reference and candidate values, from which relative error, SQNR, PSNR and
/// cosine similarity follow.
///
/// All sums are float64, taken in the order in which values are added, and never over integers.
package struct ErrorMeasures: Sendable, Equatable {
  /// Number of pairs.
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

  /// Compares all values of two tensors, widening a run of rows at a time.
  ///
  /// - Precondition: both tensors have the same shape.
  package init(reference: StoredTensor, candidate: StoredTensor) {
    var measures = ErrorMeasures()
    reference.forEachRun(beside: candidate) { measures.add(reference: $0, candidate: $1) }
    self = measures
  }

  /// Adds pairs of values to the sums.
  ///
  /// - Precondition: both spans have the same length.
  package mutating func add(reference: Span<Float>, candidate: Span<Float>) {
    precondition(
      reference.count == candidate.count,
      "\(candidate.count) values compared with \(reference.count)")
    count += reference.count
    for index in 0..<reference.count {
      let expected = Double(reference[index])
      let found = Double(candidate[index])
      let difference = found - expected
      signal += expected * expected
      power += found * found
      error += difference * difference
      product += expected * found
      // `max` would drop a NaN.
      largestDifference = difference.isNaN ? .nan : max(largestDifference, abs(difference))
    }
  }

  /// Root mean square of the difference divided by that of the reference: 0 when nothing differs,
  /// infinite when only the reference is zero.
  package var relativeRMS: Double {
    error == 0 ? 0 : (error / signal).squareRoot()
  }

  /// Signal-to-quantization-noise ratio in decibels: `10 log10(signal / error)`; infinite when
  /// nothing differs, minus infinity when only the reference is zero.
  package var sqnr: Double { decibels(signal: signal, error: error) }

  /// Peak signal-to-noise ratio in decibels: `10 log10(peak^2 / mean squared error)`; infinite when
  /// nothing differs.
  ///
  /// - Parameter peak: the range of the values: 1 for images in 0...1, 255 for 8-bit levels.
  package func psnr(peak: Double) -> Double {
    decibels(signal: peak * peak * Double(count), error: error)
  }

  /// Cosine similarity: 1 when both are zero, 0 when only one is.
  package var cosine: Double {
    if signal == 0 && power == 0 { return 1 }
    if signal == 0 || power == 0 { return 0 }
    return product / (signal.squareRoot() * power.squareRoot())
  }
}

/// `10 log10(signal / error)`: infinite when `error` is zero, minus infinity when only `signal` is.
package func decibels(signal: Double, error: Double) -> Double {
  if error == 0 { return .infinity }
  if signal == 0 { return -.infinity }
  return 10 * log10(signal / error)
}
