internal import Support
internal import Tensors

/// The second moments of some inputs of a layer: the sum of `xᵀ x` over rows `x` of inputs, the
/// matrix H of GPTQ (Frantar et al., arXiv 2210.17323) up to a factor.
///
/// Products of a tile of rows are in float32; sums over tiles are in float64. Results do not depend
/// on the number of threads.
package struct InputMoments: Sendable {
  /// The number of inputs.
  package let count: Int
  /// The lower triangle, row after row: row `i` has `i + 1` numbers.
  package private(set) var sums: [Double]

  package init(count: Int) {
    self.count = count
    sums = [Double](repeating: 0, count: count * (count + 1) / 2)
  }

  /// Bytes that ``sums`` take for a number of inputs.
  package static func byteCount(of count: Int) -> Int {
    count * (count + 1) / 2 * MemoryLayout<Double>.stride
  }

  /// The sum of squares of each input.
  package var squares: [Double] { (0..<count).map { sums[$0 * ($0 + 1) / 2 + $0] } }

  /// Rows of a panel of the triangle, which one thread computes at a time.
  private static let panel = 128

  /// Adds `weight * xᵀ x` over the rows of a matrix.
  ///
  /// - Parameter rows: rows of ``count`` numbers, one after another.
  /// - Precondition: `count` divides the number of numbers.
  package mutating func add(_ rows: [Float], weight: Double = 1) {
    let size = count
    precondition(size > 0 && rows.count % size == 0, "\(rows.count) numbers in rows of \(size)")
    let rowCount = rows.count / size
    if rowCount == 0 { return }
    let panel = Self.panel
    rows.reading { rows in
      sums.withUnsafeMutableBufferPointer { sums in
        let sums = DisjointSlices(sums)
        parallel((size + panel - 1) / panel) { unit in
          // The last panels are the longest, so they are computed first.
          let index = (size - 1) / panel - unit
          let range = index * panel..<min(size, (index + 1) * panel)
          let width = range.upperBound
          withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count * width) { products in
            guard let base = products.baseAddress else { return }
            multiplyTransposed(
              Matrix(base: rows.base + range.lowerBound, stride: size),
              Matrix(base: rows.base, stride: size), into: base, stride: width,
              m: range.count, n: width, k: rowCount)
            for row in range {
              let source = base + (row - range.lowerBound) * width
              let target = sums.base + row * (row + 1) / 2
              for column in 0...row { target[column] += weight * Double(source[column]) }
            }
          }
        }
      }
    }
  }
}

/// The triangular factor of the second moments of some inputs, with which errors are fed back.
package struct InputFactor: Sendable, Equatable {
  /// The inputs in the order in which they are rounded: the largest mean square first. Inputs that
  /// were always zero are left out.
  package let order: [Int]
  /// The upper triangular matrix R with `H + damping = R Rᵀ`, by rows, in the order of ``order``.
  let values: [Float]
}

extension InputMoments {
  /// Factors the moments.
  ///
  /// `R` is the Cholesky factor of the matrix in reversed order, reversed. With it, minimizing
  /// `|(w - q) R|²` one input after another is GPTQ without an inverse.
  ///
  /// - Parameters:
  ///   - damping: added to the diagonal, relative to its mean.
  ///   - isSorted: whether the largest mean square comes first (act-order); else the inputs keep
  ///     their order.
  /// - Returns: `nil` when the damped matrix is not positive definite in float32.
  package func factored(damping: Double, sorted isSorted: Bool = true) -> InputFactor? {
    let squares = squares
    let used = squares.indices.filter { squares[$0] > 0 }
    // Equal squares keep their order, so that the result is the same everywhere.
    let order = isSorted ? used.sorted { (squares[$1], $0) < (squares[$0], $1) } : used
    let size = order.count
    if size == 0 { return InputFactor(order: [], values: []) }
    let mean = order.reduce(0) { $0 + squares[$1] } / Double(size)
    var matrix = [Float](repeating: 0, count: size * size)
    let sums = sums
    matrix.withUnsafeMutableBufferPointer { matrix in
      let matrix = DisjointSlices(matrix)
      parallel(size) { row in
        let input = order[size - 1 - row]
        let target = matrix.base + row * size
        for column in 0...row {
          let other = order[size - 1 - column]
          let (low, high) = input < other ? (input, other) : (other, input)
          target[column] = Float(sums[high * (high + 1) / 2 + low] / mean)
        }
        target[row] += Float(damping)
      }
    }
    guard choleskyFactor(of: &matrix, size: size) else { return nil }
    matrix.reverse()
    return InputFactor(order: order, values: matrix)
  }
}
