private import CKernels
private import COpenBLAS
internal import Support
package import Tensors

/// Makes OpenBLAS compute each product on the calling thread, because Decant has its own threads.
/// Concurrent calls share only a table of buffers, which OpenBLAS locks.
let openBLASOnOneThread: Void = openblas_set_num_threads(1)

/// A row-major matrix in memory: a pointer to its first number, and the numbers from row to row.
struct Matrix {
  let base: UnsafePointer<Float>
  let stride: Int
}

/// `c = scale * a b + keep * c` on the calling thread; `a` is [m, k], `b` [k, n] and `c` [m, n].
///
/// With `keep` 0, `c` is not read.
func multiply(
  _ a: Matrix, _ b: Matrix, into c: UnsafeMutablePointer<Float>, stride: Int,
  m: Int, n: Int, k: Int, scale: Float = 1, keep: Float = 0
) {
  _ = openBLASOnOneThread
  cblas_sgemm(
    CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(m), Int32(n), Int32(k), scale, a.base,
    Int32(a.stride), b.base, Int32(b.stride), keep, c, Int32(stride))
}

/// `c = aᵀ b` on the calling thread; `a` is [k, m], `b` [k, n] and `c` [m, n].
func multiplyTransposed(
  _ a: Matrix, _ b: Matrix, into c: UnsafeMutablePointer<Float>, stride: Int,
  m: Int, n: Int, k: Int
) {
  _ = openBLASOnOneThread
  cblas_sgemm(
    CblasRowMajor, CblasTrans, CblasNoTrans, Int32(m), Int32(n), Int32(k), 1, a.base,
    Int32(a.stride), b.base, Int32(b.stride), 0, c, Int32(stride))
}

/// `a = a r` on the calling thread, for an upper triangular `r`; `a` is [m, n] and `r` [n, n], by rows.
func multiplyByUpperTriangle(
  _ a: UnsafeMutablePointer<Float>, stride: Int, _ r: UnsafePointer<Float>, m: Int, n: Int
) {
  _ = openBLASOnOneThread
  cblas_strmm(
    CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, Int32(m), Int32(n), 1, r,
    Int32(n), a, Int32(stride))
}

/// The matrix product of `a` [M, K] and `b` [K, N]: [M, N].
package func matmul(_ a: Tensor, _ b: Tensor) -> Tensor {
  precondition(
    a.shape.rank == 2 && b.shape.rank == 2 && a.shape[1] == b.shape[0],
    "product of \(a.shape) and \(b.shape)")
  let (m, k, n) = (a.shape[0], a.shape[1], b.shape[1])
  let tiles = Tiles(rows: m, columns: n)
  let sums = sumParts(k)
  if sums.isEmpty { return Tensor(zeros: [m, n]) }
  return a.values.reading { a in
    b.values.reading { b in
      Tensor(shape: [m, n]) { output in
        parallel(tiles.count) { unit in
          let tile = tiles[unit]
          for (index, part) in sums.enumerated() {
            multiply(
              Matrix(base: a + tile.rows.lowerBound * k + part.lowerBound, stride: k),
              Matrix(base: b + part.lowerBound * n + tile.columns.lowerBound, stride: n),
              into: output + tile.rows.lowerBound * n + tile.columns.lowerBound, stride: n,
              m: tile.rows.count, n: tile.columns.count, k: part.count, keep: index == 0 ? 0 : 1)
          }
        }
      }
    }
  }
}

/// The sum of products of `a` and `b`, in float64.
package func dot(_ a: [Float], _ b: [Float]) -> Double {
  precondition(a.count == b.count, "\(a.count) numbers by \(b.count)")
  let count = a.count
  return a.reading { a in b.reading { b in decant_dot(a.base, b.base, count) } }
}
