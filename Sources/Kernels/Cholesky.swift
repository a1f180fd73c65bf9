private import COpenBLAS
internal import Support

/// Replaces the lower triangle of a symmetric matrix by its Cholesky factor `L`, with `matrix = L
/// Lᵀ`. The numbers above the diagonal are not read and have no meaning afterwards.
///
/// Panels of columns are factored one after another, and the rest of the matrix is updated in tiles
/// on several threads. Results do not depend on the number of threads.
///
/// - Parameter matrix: [size, size], by rows.
/// - Returns: whether the matrix is positive definite; inside ``interruptible(_:)`` the result has no
///   meaning once the task is cancelled.
func choleskyFactor(of matrix: inout [Float], size: Int) -> Bool {
  _ = openBLASOnOneThread
  let panel = 256
  var isPositive = true
  matrix.withUnsafeMutableBufferPointer { matrix in
    let matrix = DisjointSlices(matrix)
    for start in stride(from: 0, to: size, by: panel) where isPositive {
      let end = min(size, start + panel)
      isPositive = factorDiagonal(matrix.base + start * (size + 1), stride: size, n: end - start)
      let tiles = (size - end + panel - 1) / panel
      let diagonal = matrix.base + start * (size + 1)
      let left = Target(base: matrix.base + start)
      let corner = Target(base: diagonal)
      interruptibleParallel(tiles) { tile in
        let rows = end + tile * panel..<min(size, end + (tile + 1) * panel)
        divideByTransposedFactor(
          left + rows.lowerBound * size, stride: size, by: UnsafePointer(corner + 0),
          m: rows.count, n: end - start)
      }
      interruptibleParallel(tiles) { index in
        // The last tiles are the longest, so they are computed first.
        let tile = tiles - 1 - index
        let rows = end + tile * panel..<min(size, end + (tile + 1) * panel)
        subtractProduct(
          UnsafePointer(left + rows.lowerBound * size), UnsafePointer(left + end * size),
          stride: size, from: left + (rows.lowerBound * size + end - start),
          m: rows.count, n: rows.upperBound - end, k: end - start)
      }
    }
  }
  return isPositive
}

/// Factors a lower triangle on the calling thread; false where it is not positive definite.
private func factorDiagonal(_ matrix: UnsafeMutablePointer<Float>, stride: Int, n: Int) -> Bool {
  // A lower triangle by rows is an upper triangle by columns.
  var (order, leading, result) = (Int32(n), Int32(stride), Int32(0))
  spotrf_("U", &order, matrix, &leading, &result, 1)
  return result == 0
}

/// `x = x L^-T` on the calling thread; `x` is [m, n], and `L` a lower triangle [n, n], by rows.
private func divideByTransposedFactor(
  _ x: UnsafeMutablePointer<Float>, stride: Int, by factor: UnsafePointer<Float>, m: Int, n: Int
) {
  cblas_strsm(
    CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, Int32(m), Int32(n), 1, factor,
    Int32(stride), x, Int32(stride))
}

/// `c = c - a bᵀ` on the calling thread; `a` is [m, k], `b` [n, k] and `c` [m, n], by rows of one
/// stride.
private func subtractProduct(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, stride: Int,
  from c: UnsafeMutablePointer<Float>, m: Int, n: Int, k: Int
) {
  cblas_sgemm(
    CblasRowMajor, CblasNoTrans, CblasTrans, Int32(m), Int32(n), Int32(k), -1, a, Int32(stride), b,
    Int32(stride), 1, c, Int32(stride))
}
