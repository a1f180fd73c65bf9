private import COpenBLAS
package import Tensors

/// OpenBLAS computes each product on the calling thread; the threads are ours.
private let openBLASOnOneThread: Void = openblas_set_num_threads(1)

/// A matrix in memory: where its first number is, and how many numbers lie between rows.
struct Matrix {
  let base: UnsafePointer<Float>
  let stride: Int
  var transposed = false
}

/// `C = scale * A B + keep * C`, row-major, A being [m, k], B [k, n] and C [m, n] after the
/// transposition that each asks for.
func multiply(
  _ a: Matrix, _ b: Matrix, into c: UnsafeMutablePointer<Float>, stride: Int,
  m: Int, n: Int, k: Int, scale: Float = 1, keep: Float = 0
) {
  _ = openBLASOnOneThread
  cblas_sgemm(
    CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
    b.transposed ? CblasTrans : CblasNoTrans, Int32(m), Int32(n), Int32(k), scale, a.base,
    Int32(a.stride), b.base, Int32(b.stride), keep, c, Int32(stride))
}

/// The matrix product of `a` [M, K] and `b` [K, N].
package func matmul(_ a: Tensor, _ b: Tensor) -> Tensor {
  precondition(
    a.shape.rank == 2 && b.shape.rank == 2 && a.shape[1] == b.shape[0],
    "product of \(a.shape) and \(b.shape)")
  let (m, k, n) = (a.shape[0], a.shape[1], b.shape[1])
  if m * n * k == 0 { return Tensor(zeros: [m, n]) }
  return a.values.reading { left in
    b.values.reading { right in
      Tensor(shape: [m, n]) { output in
        multiply(
          Matrix(base: left.base, stride: k), Matrix(base: right.base, stride: n),
          into: output.base, stride: n, m: m, n: n, k: k)
      }
    }
  }
}
