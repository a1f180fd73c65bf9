internal import CKernels
internal import Support
package import Tensors

/// Multi-head scaled dot-product attention (Vaswani et al., 2017): for each head,
/// `softmax(scale * Q Kᵀ) V`.
///
/// The kernel computes 32 queries at a time against parts of the keys, with a running softmax
/// (Milakov & Gimelshein, 2018). The whole matrix of scores is never in memory.
///
/// - Parameters:
///   - query: [batch, heads * d, queries]; the features of a head are adjacent.
///   - key, value: [batch, heads * d, keys].
///   - causal: whether a query attends only to the keys up to its own position.
///   - scale: the factor of the scores; `nil` means 1 / sqrt(d).
///   - bfloat16: whether operands are rounded to bfloat16, with float32 sums, if the processor has
///     such instructions. The relative rounding error, 2^-9, is small compared with that of int8
///     weights.
/// - Returns: [batch, heads * d, queries].
/// - Precondition: at least one key; as many keys as queries where `causal`.
package func attention(
  query: Tensor, key: Tensor, value: Tensor, heads: Int, causal: Bool = false,
  scale: Float? = nil, bfloat16: Bool = false
) -> Tensor {
  precondition(
    query.shape.rank == 3 && key.shape.rank == 3 && key.shape == value.shape
      && key.shape[0] == query.shape[0] && key.shape[1] == query.shape[1]
      && key.shape[2] > 0 && heads >= 1 && query.shape[1] % heads == 0
      && (!causal || key.shape[2] == query.shape[2]),
    "attention of \(heads) heads, \(query.shape) to \(key.shape) and \(value.shape)")
  let (batch, width, queries) = (query.shape[0], query.shape[1], query.shape[2])
  let (keys, d) = (key.shape[2], query.shape[1] / heads)
  let plan = AttentionPlan(
    queries: queries, keys: keys, d: d, causal: causal, scale: scale ?? 1 / Float(d).squareRoot(),
    bfloat16: bfloat16 && hasBFloat16Products)
  return Profile.timing(.attention, products: 2 * batch * width * queries * keys) {
    let packed = Scratch.floats(batch * heads * plan.packedSize)
    defer { Scratch.release(packed) }
    let operands = Target(base: packed.base)
    return query.values.reading { query in
      key.values.reading { key in
        value.values.reading { value in
          Tensor(shape: [batch, width, queries]) { output in
            interruptibleParallel(batch * heads, scratch: plan.packingScratch) { head, scratch in
              plan.pack(
                key: key + head * d * keys, value: value + head * d * keys, scratch: scratch,
                into: operands + head * plan.packedSize)
            }
            interruptibleParallel(batch * heads * plan.panels, scratch: plan.tileScratch) {
              unit, scratch in
              let head = unit / plan.panels
              plan.run(
                panel: unit % plan.panels, query: query + head * d * queries,
                operands: operands + head * plan.packedSize, scratch: scratch,
                into: output + head * d * queries)
            }
          }
        }
      }
    }
  }
}

/// Whether the processor has instructions for bfloat16 products.
package var hasBFloat16Products: Bool { decant_product_bf16(nil, nil, 0, nil) != 0 }

/// The logarithm of e to base 2: exp(x) = 2^(x * log2e).
private let log2e = 1.442_695_040_888_963_4

/// How the attention of one head is divided into panels of queries, and how operands are packed.
private struct AttentionPlan {
  let queries: Int
  let keys: Int
  let d: Int
  let causal: Bool
  let scale: Float
  let bfloat16: Bool

  private var block: Int { ProductTiles.blockRows }
  private var panel: Int { ProductTiles.panelColumns }

  /// The 32-bit words that store `numbers` numbers.
  private func words(_ numbers: Int) -> Int { bfloat16 ? (numbers + 1) / 2 : numbers }

  private var keySize: Int { (keys + block - 1) / block * block * words(d) }
  /// The words of packed keys and values.
  var packedSize: Int { keySize + (d + block - 1) / block * block * words(keys) }
  var packingScratch: Int { bfloat16 ? block * words(keys) : 0 }
  var panels: Int { (queries + panel - 1) / panel }
  var tileScratch: Int { Int(decant_attention_scratch()) + 2 * panel * d }

  func pack(
    key: UnsafePointer<Float>, value: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>,
    into target: UnsafeMutablePointer<Float>
  ) {
    let values = UnsafeMutableRawPointer(target + keySize).assumingMemoryBound(to: UInt32.self)
    guard bfloat16 else {
      decant_pack_columns(key, keys, keys, d, target)
      packRows(Matrix(base: value, stride: keys), d, keys, into: values)
      return
    }
    decant_pack_column_pairs(key, keys, keys, d, target)
    let length = words(keys)
    let line = UnsafeMutableRawPointer(scratch).assumingMemoryBound(to: UInt16.self)
    for first in stride(from: 0, to: d, by: block) {
      let some = min(block, d - first)
      for row in 0..<some {
        line[(row + 1) * 2 * length - 1] = 0
        decant_f32_to_bf16(value + (first + row) * keys, line + row * 2 * length, keys)
      }
      packRows(
        Matrix(base: scratch, stride: length), some, length, into: values + first * length)
    }
  }

  func run(
    panel index: Int, query: UnsafePointer<Float>, operands: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>, into output: UnsafeMutablePointer<Float>
  ) {
    let first = index * panel
    let some = min(panel, queries - first)
    let scaled = scratch + Int(decant_attention_scratch())
    let result = scaled + panel * d
    for feature in 0..<d {
      let line = scaled + feature * panel
      line.update(repeating: 0, count: panel)
      decant_scale_and_shift(
        query + feature * queries + first, 0, Float(Double(scale) * log2e), 0, line, some)
    }
    if bfloat16 { decant_pair_rows(scaled, d, scaled) }
    let visible = (0..<panel).map { min(keys, first + $0 + 1) }
    visible.withUnsafeBufferPointer { visible in
      decant_attention_tile(
        scaled, operands, operands + keySize, d, causal ? min(keys, first + panel) : keys, keys,
        causal ? visible.baseAddress : nil, bfloat16 ? 1 : 0, scratch, result)
    }
    for feature in 0..<d {
      (output + feature * queries + first).update(from: result + feature * panel, count: some)
    }
  }
}
