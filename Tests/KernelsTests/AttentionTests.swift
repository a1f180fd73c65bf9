private import Foundation
import Kernels
import Tensors
import TestSupport
import Testing

/// `attention`.
struct AttentionTests {
  /// The reference, in float64.
  private func reference(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, heads: Int, causal: Bool, scale: Double
  ) -> [Double] {
    let (batch, queries, width) = (query.shape[0], query.shape[1], query.shape[2])
    let keys = key.shape[1]
    let d = width / heads
    var result = [Double](repeating: 0, count: query.shape.count)
    for b in 0..<batch {
      for h in 0..<heads {
        for i in 0..<queries {
          let q = (b * queries + i) * width + h * d
          let scores = (0..<(causal ? i + 1 : keys)).map { j in
            let k = (b * keys + j) * width + h * d
            return scale
              * (0..<d).reduce(0.0) {
                $0 + Double(query.values[q + $1]) * Double(key.values[k + $1])
              }
          }
          let top = scores.max() ?? 0
          let weights = scores.map { exp($0 - top) }
          let sum = weights.reduce(0, +)
          for (j, weight) in weights.enumerated() {
            let v = (b * keys + j) * width + h * d
            for e in 0..<d { result[q + e] += weight / sum * Double(value.values[v + e]) }
          }
        }
      }
    }
    return result
  }

  /// `attention` of tokens as rows.
  private func ofRows(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, heads: Int, causal: Bool = false,
    scale: Float? = nil, bfloat16: Bool = false
  ) -> Tensor {
    transposed(
      attention(
        query: transposed(query), key: transposed(key), value: transposed(value), heads: heads,
        causal: causal, scale: scale, bfloat16: bfloat16))
  }

  private func check(
    batch: Int = 1, queries: Int, keys: Int, heads: Int, d: Int, causal: Bool = false,
    scale: Float? = nil, bfloat16: Bool = false
  ) {
    let query = randomTensor([batch, queries, heads * d], seed: queries)
    let key = randomTensor([batch, keys, heads * d], seed: keys + 1000)
    let value = randomTensor([batch, keys, heads * d], seed: d + 2000)
    let found = ofRows(
      query, key, value, heads: heads, causal: causal, scale: scale, bfloat16: bfloat16)
    let expected = reference(
      query, key, value, heads: heads, causal: causal,
      scale: scale.map(Double.init) ?? 1 / Double(d).squareRoot())
    let distance = error(found.values, expected, floor: 0.01)
    #expect(found.shape == query.shape)
    #expect(
      distance < (bfloat16 ? Tolerance.bfloat16 : Tolerance.sums),
      "\(batch) x \(queries) to \(keys), \(heads) of \(d), causal \(causal): \(distance)")
  }

  @Test func everySmallShape() {
    for queries in [1, 2, 3, 7, 17] {
      for keys in [1, 2, 5, 16, 33] {
        for (heads, d) in [(1, 1), (1, 8), (2, 3), (3, 40), (2, 64)] {
          for batch in [1, 2] {
            check(batch: batch, queries: queries, keys: keys, heads: heads, d: d)
          }
        }
      }
    }
  }

  @Test func everySmallCausalShape() {
    for tokens in Array(1...20) + [77] {
      for (heads, d) in [(1, 1), (2, 8), (3, 5), (2, 64)] {
        check(batch: 2, queries: tokens, keys: tokens, heads: heads, d: d, causal: true)
      }
    }
  }

  @Test func severalTilesOfQueries() {
    check(batch: 2, queries: 300, keys: 77, heads: 2, d: 40)
    check(queries: 530, keys: 530, heads: 1, d: 8, causal: true)
    check(queries: 100, keys: 20000, heads: 1, d: 8)
    check(queries: 70, keys: 64, heads: 1, d: 512)
  }

  @Test func everyInstructionSet() {
    onEveryInstructionSet { _ in
      check(batch: 2, queries: 70, keys: 530, heads: 2, d: 40)
      check(queries: 77, keys: 77, heads: 3, d: 64, causal: true)
    }
  }

  /// With bfloat16 products if the machine has them, otherwise with float32 products.
  @Test func bfloat16() {
    onEveryInstructionSet { _ in
      for d in [1, 2, 3, 8, 13, 40] {
        for keys in [1, 2, 3, 16, 77, 505, 1011] {
          check(batch: 2, queries: 33, keys: keys, heads: 2, d: d, bfloat16: true)
        }
      }
      check(queries: 77, keys: 77, heads: 3, d: 64, causal: true, bfloat16: true)
    }
  }

  @Test func anyScale() {
    check(queries: 5, keys: 6, heads: 2, d: 4, scale: 1)
    check(queries: 5, keys: 6, heads: 2, d: 4, scale: 0.01)
  }

  /// Scores in the thousands, whose exponentials overflow float32.
  @Test func largeScores() {
    let query = randomTensor([1, 4, 8], seed: 1)
    let key = Tensor(
      shape: [1, 6, 8], values: randomTensor([48], seed: 2).values.map { $0 * 4096 })
    let value = randomTensor([1, 6, 8], seed: 3)
    let found = ofRows(query, key, value, heads: 1)
    let expected = reference(
      query, key, value, heads: 1, causal: false, scale: 1 / 8.0.squareRoot())
    // A score of 3000 is 4328 in powers of two, and rounded to 2^-12 of one: 0.7 * 2^-12 of a
    // weight.
    #expect(error(found.values, expected) < 0x1p-12)
  }

  @Test func notANumberIsKept() {
    var query = randomTensor([1, 40, 24], seed: 1)
    let key = randomTensor([1, 30, 24], seed: 2)
    query.values[5 * 24 + 3] = .nan
    onEveryInstructionSet { level in
      for bfloat16 in [false, true] {
        let found = transposed(
          attention(
            query: transposed(query), key: transposed(key), value: transposed(key), heads: 3,
            bfloat16: bfloat16))
        for row in 0..<40 {
          // The eight features of the head whose scores are NaN.
          #expect(
            found.values[row * 24..<row * 24 + 8].allSatisfy { $0.isNaN == (row == 5) },
            "level \(level), row \(row)")
        }
      }
    }
  }

  @Test func threadsDoNotMatter() {
    let x = randomTensor([2, 530, 24], seed: 1)
    for causal in [false, true] {
      let found = onEveryThreadCount {
        ofRows(x, x, x, heads: 3, causal: causal)
      }
      #expect(found[0] == found[1] && found[0] == found[2])
    }
  }
}
