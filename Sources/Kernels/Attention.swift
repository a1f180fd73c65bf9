private import CKernels
package import Tensors

/// Scaled dot-product attention of several heads (Vaswani et al., 2017): for each head,
/// `softmax(scale * Q Kᵀ) V`.
///
/// Queries are taken a tile at a time, so that scores take at most 4 MB a thread, whatever the
/// number of queries, and of keys up to 65,536; softmax is float32 with the largest score taken off.
///
/// - Parameters:
///   - query: [batch, queries, heads * d]; a head's features lie side by side.
///   - key, value: [batch, keys, heads * d].
///   - causal: whether a query sees only the keys up to its own place.
///   - scale: what scores are multiplied with; 1 / sqrt(d) where it is `nil`.
/// - Returns: [batch, queries, heads * d].
/// - Precondition: at least one key; as many keys as queries where `causal`.
package func attention(
  query: Tensor, key: Tensor, value: Tensor, heads: Int, causal: Bool = false, scale: Float? = nil
) -> Tensor {
  precondition(
    query.shape.rank == 3 && key.shape.rank == 3 && key.shape == value.shape
      && key.shape[0] == query.shape[0] && key.shape[2] == query.shape[2]
      && key.shape[1] > 0 && heads >= 1 && query.shape[2] % heads == 0
      && (!causal || key.shape[1] == query.shape[1]),
    "attention of \(heads) heads, \(query.shape) to \(key.shape) and \(value.shape)")
  let (batch, queries, width) = (query.shape[0], query.shape[1], query.shape[2])
  let keys = key.shape[1]
  let d = width / heads
  let factor = scale ?? 1 / Float(d).squareRoot()
  let step = max(16, min(256, (1 << 20) / keys))
  let tiles = (queries + step - 1) / step
  return query.values.reading { query in
    key.values.reading { key in
      value.values.reading { value in
        Tensor(shape: [batch, queries, width]) { output in
          parallel(batch * heads * tiles, scratch: step * (keys + 1)) { unit, scores in
            let sums = scores + step * keys
            let rows = unit % tiles * step..<min(queries, (unit % tiles + 1) * step)
            let (picture, head) = (unit / tiles / heads, unit / tiles % heads)
            let first = (picture * queries + rows.lowerBound) * width + head * d
            let keyed = picture * keys * width + head * d
            // Keys after the last query of the tile are seen by none of it.
            let seen = causal ? rows.upperBound : keys
            multiply(
              Matrix(base: query + first, stride: width),
              Matrix(base: key + keyed, stride: width).transpose, into: scores, stride: seen,
              m: rows.count, n: seen, k: d, scale: factor)
            for (index, row) in rows.enumerated() {
              let line = scores + index * seen
              let visible = causal ? row + 1 : keys
              sums[index] = decant_softmax(line, visible)
              (line + visible).update(repeating: 0, count: seen - visible)
            }
            multiply(
              Matrix(base: scores, stride: seen), Matrix(base: value + keyed, stride: width),
              into: output + first, stride: width, m: rows.count, n: d, k: seen)
            for index in 0..<rows.count {
              let line = output + first + index * width
              decant_scale_and_shift(line, 0, 1 / sums[index], 0, line, d)
            }
          }
        }
      }
    }
  }
}
