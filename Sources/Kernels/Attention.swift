internal import CKernels
package import Tensors

/// Scaled dot-product attention of several heads (Vaswani et al., 2017): for each head,
/// `softmax(scale * Q Kᵀ) V`.
///
/// Queries are taken 32 at a time against parts of the keys, with a running softmax (Milakov &
/// Gimelshein, 2018): the matrix of scores is never whole, whatever its size.
///
/// - Parameters:
///   - query: [batch, heads * d, queries]; a head's features lie side by side.
///   - key, value: [batch, heads * d, keys].
///   - causal: whether a query sees only the keys up to its own place.
///   - scale: what scores are multiplied with; 1 / sqrt(d) where it is `nil`.
/// - Returns: [batch, heads * d, queries].
/// - Precondition: at least one key; as many keys as queries where `causal`.
package func attention(
  query: Tensor, key: Tensor, value: Tensor, heads: Int, causal: Bool = false, scale: Float? = nil
) -> Tensor {
  precondition(
    query.shape.rank == 3 && key.shape.rank == 3 && key.shape == value.shape
      && key.shape[0] == query.shape[0] && key.shape[1] == query.shape[1]
      && key.shape[2] > 0 && heads >= 1 && query.shape[1] % heads == 0
      && (!causal || key.shape[2] == query.shape[2]),
    "attention of \(heads) heads, \(query.shape) to \(key.shape) and \(value.shape)")
  let (batch, width, queries) = (query.shape[0], query.shape[1], query.shape[2])
  let (keys, d) = (key.shape[2], query.shape[1] / heads)
  let factor = scale ?? 1 / Float(d).squareRoot()
  let block = ProductTiles.blockRows
  let panel = ProductTiles.panelColumns
  let keySize = (keys + block - 1) / block * block * d
  let valueSize = (d + block - 1) / block * block * keys
  let packed = Scratch.floats(batch * heads * (keySize + valueSize))
  defer { Scratch.give(packed) }
  let operands = Target(base: packed.base)
  return query.values.reading { query in
    key.values.reading { key in
      value.values.reading { value in
        Tensor(shape: [batch, width, queries]) { output in
          parallel(batch * heads) { head in
            let start = operands + head * (keySize + valueSize)
            decant_pack_columns(key + head * d * keys, keys, keys, d, start)
            packRows(
              Matrix(base: value + head * d * keys, stride: keys), d, keys,
              into: UnsafeMutableRawPointer(start + keySize).assumingMemoryBound(to: UInt32.self))
          }
          let panels = (queries + panel - 1) / panel
          let scores = Int(decant_attention_scratch())
          parallel(batch * heads * panels, scratch: scores + 2 * panel * d) { unit, scratch in
            let (head, first) = (unit / panels, unit % panels * panel)
            let some = min(panel, queries - first)
            let (scaled, result) = (scratch + scores, scratch + scores + panel * d)
            let plane = head * d * queries + first
            for feature in 0..<d {
              let line = scaled + feature * panel
              line.update(repeating: 0, count: panel)
              decant_scale_and_shift(query + plane + feature * queries, 0, factor, 0, line, some)
            }
            let start = operands + head * (keySize + valueSize)
            let visible = (0..<panel).map { min(keys, first + $0 + 1) }
            visible.withUnsafeBufferPointer { visible in
              decant_attention_tile(
                scaled, start, start + keySize, d, causal ? min(keys, first + panel) : keys, keys,
                causal ? visible.baseAddress : nil, scratch, result)
            }
            for feature in 0..<d {
              (output + plane + feature * queries).update(
                from: result + feature * panel, count: some)
            }
          }
        }
      }
    }
  }
}
