private import Foundation
internal import Support

/// A complete canonical prefix code over bytes: RFC 1951, section 3.2.2, with codes of at most 12
/// bits whose first bit is the lowest.
struct HuffmanCode {
  /// The bits of each byte value's code; 0 for values without a code.
  let lengths: [UInt8]

  /// The code with the fewest bits for a histogram of bytes, by package-merge (Larmore &
  /// Hirschberg, 1990); `nil` where all counts are 0.
  init?(counts: [UInt32]) {
    var values = counts.indices.filter { counts[$0] > 0 }
    guard let first = values.first else { return nil }
    // A code of one value is incomplete. A second value, which does not occur, completes it.
    if values.count == 1 { values.append(first == 0 ? 1 : 0) }
    values.sort { (counts[$0], $0) < (counts[$1], $1) }
    let weights = values.map { Int(counts[$0]) }

    // For each length from the longest: values, and packages of two items of the next longer
    // length, sorted by weight.
    typealias Item = (weight: Int, isValue: Bool)
    var levels: [[Item]] = [weights.map { ($0, true) }]
    while levels.count < HuffmanStreams.longestCode {
      let above = levels[levels.count - 1]
      var level: [Item] = []
      level.reserveCapacity(weights.count + above.count / 2)
      var value = 0
      for package in 0..<above.count / 2 {
        let weight = above[2 * package].weight + above[2 * package + 1].weight
        while value < weights.count, weights[value] <= weight {
          level.append((weights[value], true))
          value += 1
        }
        level.append((weight, false))
      }
      for weight in weights[value...] { level.append((weight, true)) }
      levels.append(level)
    }

    // The lightest 2n - 2 items of the last level are taken, with the contents of their packages.
    var lengths = [UInt8](repeating: 0, count: 256)
    var taken = 2 * values.count - 2
    for level in levels.reversed() {
      let leaves = level[..<taken].count(where: \.isValue)
      for value in values[..<leaves] { lengths[value] += 1 }
      taken = 2 * (taken - leaves)
    }
    self.lengths = lengths
  }

  /// About the bytes of the codes of all bytes in a histogram: the entropy, and at least one bit
  /// for each byte.
  static func estimatedSize(counts: some Collection<UInt32>) -> Double {
    let total = Double(counts.reduce(0, +))
    let bits = counts.reduce(0.0) { bits, count in
      count == 0 ? bits : bits + Double(count) * log2(total / Double(count))
    }
    return max(bits, total) / 8
  }

  /// The code with the lengths in a file; `nil` unless the code is complete, so that each sequence
  /// of bits begins with exactly one code.
  init?(lengths: [UInt8]) {
    let whole = 1 << HuffmanStreams.longestCode
    guard lengths.allSatisfy({ $0 <= HuffmanStreams.longestCode }) else { return nil }
    let used = lengths.reduce(0) { $1 == 0 ? $0 : $0 + whole >> Int($1) }
    guard used == whole else { return nil }
    self.lengths = lengths
  }

  /// Calls `body` with each coded value, its code and the code's length in bits, shortest first.
  private func forEach(_ body: (_ value: Int, _ code: Int, _ bits: Int) -> Void) {
    var next = 0
    for bits in 1...HuffmanStreams.longestCode {
      for value in lengths.indices where Int(lengths[value]) == bits {
        let reversed = (0..<bits).reduce(0) { $0 | (next >> $1 & 1) << (bits - 1 - $1) }
        body(value, reversed, bits)
        next += 1
      }
      next <<= 1
    }
  }

  /// The codes for ``HuffmanStreams/encode(_:codes:after:)``.
  var codes: [UInt32] {
    var codes = [UInt32](repeating: 0, count: 256)
    forEach { value, code, bits in codes[value] = UInt32(code << 8 | bits) }
    return codes
  }

  /// The table for ``HuffmanStreams/decode(_:lengths:table:count:)``.
  var table: [UInt16] {
    let size = 1 << HuffmanStreams.longestCode
    var table = [UInt16](repeating: 0, count: size)
    forEach { value, code, bits in
      for index in stride(from: code, to: size, by: 1 << bits) {
        table[index] = UInt16(value << 8 | bits)
      }
    }
    return table
  }
}
