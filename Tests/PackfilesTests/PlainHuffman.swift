/// A plain implementation of codec 2, bit by bit, from section 4 of `Formats/decant.md`.
enum PlainHuffman {
  struct Malformed: Error {}

  /// Bits of each value's code.
  static func lengths(_ chunk: [UInt8]) -> [Int] {
    chunk[..<128].flatMap { byte in [Int(byte & 15), Int(byte >> 4)] }
  }

  /// The canonical codes of RFC 1951, section 3.2.2, as strings of 0 and 1.
  private static func codes(_ lengths: [Int]) -> [String] {
    var counts = [Int](repeating: 0, count: 17)
    for length in lengths where length > 0 { counts[length] += 1 }
    var next = [Int](repeating: 0, count: 17)
    var code = 0
    for bits in 1...15 {
      code = (code + counts[bits - 1]) << 1
      next[bits] = code
    }
    return lengths.map { length in
      if length == 0 { return "" }
      let digits = String(next[length], radix: 2)
      next[length] += 1
      return String(repeating: "0", count: length - digits.count) + digits
    }
  }

  private static func ranges(_ count: Int) -> [Range<Int>] {
    let quarter = (count + 3) / 4
    return (0..<4).map { min($0 * quarter, count)..<min(($0 + 1) * quarter, count) }
  }

  static func decode(_ chunk: [UInt8], count: Int) throws -> [UInt8] {
    let lengths = lengths(chunk)
    let values = Dictionary(
      uniqueKeysWithValues: codes(lengths).enumerated().filter { !$1.isEmpty }.map { ($1, $0) })
    var sizes: [Int] = []
    for start in [128, 132, 136] {
      var size = 0
      for byte in chunk[start..<start + 4].reversed() { size = size << 8 | Int(byte) }
      sizes.append(size)
    }
    sizes.append(chunk.count - 140 - sizes.reduce(0, +))
    guard sizes[3] >= 0 else { throw Malformed() }
    var output: [UInt8] = []
    var start = 140
    for (range, size) in zip(ranges(count), sizes) {
      var bits: [UInt8] = []
      for byte in chunk[start..<start + size] {
        for bit: UInt8 in 0..<8 { bits.append(byte >> bit & 1) }
      }
      start += size
      var at = 0
      for _ in range {
        var code = ""
        while values[code] == nil {
          guard at < bits.count else { throw Malformed() }
          code += bits[at] == 1 ? "1" : "0"
          at += 1
        }
        output.append(UInt8(values[code] ?? 0))
      }
      guard bits.count - at < 8, bits[at...].allSatisfy({ $0 == 0 }) else { throw Malformed() }
    }
    return output
  }

  /// Encodes a chunk with given code lengths.
  static func encode(_ bytes: [UInt8], lengths chosen: [Int]) -> [UInt8] {
    var chunk: [UInt8] = []
    for index in 0..<128 { chunk.append(UInt8(chosen[2 * index] + 16 * chosen[2 * index + 1])) }
    let codes = codes(chosen)
    var streams: [[UInt8]] = []
    for range in ranges(bytes.count) {
      var stream: [UInt8] = []
      let digits = bytes[range].map { codes[Int($0)] }.joined()
      for (place, digit) in digits.enumerated() {
        if place % 8 == 0 { stream.append(0) }
        if digit == "1" { stream[place / 8] |= 1 << UInt8(place % 8) }
      }
      streams.append(stream)
    }
    for stream in streams.dropLast() {
      for shift in [0, 8, 16, 24] {
        chunk.append(UInt8(truncatingIfNeeded: stream.count >> shift))
      }
    }
    return chunk + streams.joined()
  }

  /// The total bits of unlimited Huffman codes, and the length of the longest.
  static func shortestCost(_ counts: [Int]) -> (bits: Int, longest: Int) {
    var trees = counts.filter { $0 > 0 }.map { (weight: $0, depth: 0) }
    var bits = 0
    while trees.count > 1 {
      trees.sort { ($0.weight, $0.depth) > ($1.weight, $1.depth) }
      let (first, second) = (trees.removeLast(), trees.removeLast())
      bits += first.weight + second.weight
      trees.append((first.weight + second.weight, max(first.depth, second.depth) + 1))
    }
    return (bits, trees.first?.depth ?? 0)
  }
}
