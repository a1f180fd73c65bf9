private import Foundation
internal import Kernels
package import Tensors

extension QuantizationGrid {
  /// The scale of each row for the grid's step; `nil` for a grid without one.
  ///
  /// Rows with larger weights get larger steps: with the step Δ, the root mean square r of all weights
  /// and that of each row r_i, the scale of row i is `Δ r sqrt(r_i / g)`, where g is the geometric mean
  /// of the r_i. It is at least 1.01 times the scale that the largest weight of the row needs, so that
  /// nothing is clipped, also where errors of other weights are fed back. Rows of zeros have the scale
  /// 0.
  package func rowScales(of weights: StoredTensor) -> [Float]? {
    guard let step else { return nil }
    let rows = RowMagnitudes(of: weights)
    let means = rows.meanSquares
    let positive = means.filter { $0 > 0 }
    guard !positive.isEmpty else { return [Float](repeating: 0, count: means.count) }
    // The logarithm of a mean square is twice that of its root.
    let geometric = exp(positive.reduce(0) { $0 + log($1) } / Double(2 * positive.count))
    let whole = (means.reduce(0, +) / Double(means.count)).squareRoot()
    return zip(means, rows.largest).map { mean, largest in
      guard mean > 0 else { return 0 }
      let wanted = step * whole * (mean.squareRoot() / geometric).squareRoot()
      return Float(max(wanted, 1.01 * Double(largest) / Double(largestCode)))
    }
  }
}
