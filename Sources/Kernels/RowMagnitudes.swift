package import Tensors

/// The size of the weights of each row of a matrix.
package struct RowMagnitudes: Sendable, Equatable {
  /// The mean square of each row, in float64.
  package var meanSquares: [Double] = []
  /// The largest magnitude of each row.
  package var largest: [Float] = []

  /// Reads all weights of a matrix once.
  package init(of weights: StoredTensor) {
    let length = weights.shape.rowLength
    meanSquares.reserveCapacity(weights.shape.rows)
    largest.reserveCapacity(weights.shape.rows)
    weights.forEachRun { rows, floats in
      for row in rows {
        let start = (row - rows.lowerBound) * length
        var (sum, most) = (0.0, Float(0))
        for index in start..<start + length {
          sum += Double(floats[index]) * Double(floats[index])
          most = max(most, abs(floats[index]))
        }
        meanSquares.append(sum / Double(max(1, length)))
        largest.append(most)
      }
    }
  }
}
