private import Foundation
package import Tensors

/// Scaled dot-product attention of several heads.
package func attention(
  query: Tensor, key: Tensor, value: Tensor, heads: Int, causal: Bool = false, scale: Float? = nil
) -> Tensor {
  let (batch, queries, width) = (query.shape[0], query.shape[1], query.shape[2])
  let keys = key.shape[1]
  let d = width / heads
  let factor = scale ?? 1 / Float(d).squareRoot()
  return Tensor(shape: query.shape) { output in
    for b in 0..<batch {
      for h in 0..<heads {
        for i in 0..<queries {
          let q = (b * queries + i) * width + h * d
          let last = causal ? i + 1 : keys
          var scores = (0..<last).map { j in
            (0..<d).reduce(Float(0)) {
              $0 + query.values[q + $1] * key.values[(b * keys + j) * width + h * d + $1]
            } * factor
          }
          let top = scores.max() ?? 0
          scores = scores.map { exp($0 - top) }
          let sum = scores.reduce(0, +)
          for e in 0..<d {
            var total: Float = 0
            for j in 0..<last {
              total += scores[j] * value.values[(b * keys + j) * width + h * d + e]
            }
            output.base[q + e] = total / sum
          }
        }
      }
    }
  }
}
