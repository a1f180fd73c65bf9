import Packfiles
import Support
import TestSupport
import Testing

/// Codec 2 compared with a plain implementation of section 4 of `Formats/decant.md`, on every
/// instruction set of the machine.
@Suite struct HuffmanTests {
  /// Bytes with several frequency distributions, from one value to all values.
  static func samples(_ count: Int, seed: UInt64) -> [[UInt8]] {
    var randoms = Randoms(seed: seed)
    return [0.4, 3, 20, 60].map { (width: Float) in
      (0..<count).map { _ in UInt8(truncatingIfNeeded: Int(randoms.gaussian() * width)) }
    }
  }

  @Test func everyLengthAgreesWithTheReference() {
    onEveryInstructionSet { _ in
      for count in Array(1...140) + [1000, 4099, 20_003] {
        for bytes in Self.samples(count, seed: UInt64(count)) {
          // The head takes 140 bytes, so short samples follow bytes that compress well.
          let bytes = [UInt8](repeating: bytes[0], count: 300) + bytes
          guard let coded = HuffmanCodec().encode(bytes, as: .weights) else {
            // Only where the head is as long as the saving.
            #expect(count < 140)
            continue
          }
          #expect(coded == PlainHuffman.encode(bytes, lengths: PlainHuffman.lengths(coded)))
          let plain = try? PlainHuffman.decode(coded, count: bytes.count)
          #expect(plain == bytes)
          #expect(HuffmanCodec().decode(ByteSlice(coded), count: bytes.count) == bytes)
        }
      }
    }
  }

  /// No complete code of at most 12 bits is shorter: exchanging two values does not help, and plain
  /// Huffman codes of at most 12 bits are not shorter.
  @Test func codesAreTheShortest() throws {
    for (seed, steepness) in [(1, 1.02), (2, 1.1), (3, 1.5), (4, 1.9)] {
      var randoms = Randoms(seed: UInt64(seed))
      var bytes: [UInt8] = []
      var weight = 1.0
      for value in 0..<(steepness > 1.4 ? 18 : 256) {
        let count = Int(weight) + Int.random(in: 0..<3, using: &randoms)
        bytes += [UInt8](repeating: UInt8(value), count: count)
        weight = min(weight * steepness, 60_000)
      }
      let coded = try #require(HuffmanCodec().encode(bytes, as: .weights))
      let lengths = PlainHuffman.lengths(coded)
      #expect(lengths.allSatisfy { $0 <= 12 })
      let counts = (0..<256).map { value in bytes.count { Int($0) == value } }
      let cost = zip(counts, lengths).reduce(0) { $0 + $1.0 * $1.1 }
      let unlimited = PlainHuffman.shortestCost(counts)
      #expect(cost >= unlimited.bits)
      #expect((cost == unlimited.bits) == (unlimited.longest <= 12), "seed \(seed)")
      for first in 0..<256 {
        for second in 0..<256 where counts[first] > counts[second] && counts[second] > 0 {
          #expect(lengths[first] <= lengths[second])
        }
      }
    }
  }

  @Test func oneValueHasACompleteCode() throws {
    for value in [UInt8(0), 7, 255] {
      let bytes = [UInt8](repeating: value, count: 5000)
      let coded = try #require(HuffmanCodec().encode(bytes, as: .weights))
      #expect(coded.count == 140 + 4 * 157)
      #expect(PlainHuffman.lengths(coded).count { $0 == 1 } == 2)
      #expect(HuffmanCodec().decode(ByteSlice(coded), count: 5000) == bytes)
    }
  }

  /// A chunk of 1000 bytes with something changed.
  private func changed(_ change: (inout [UInt8]) -> Void) -> [UInt8]? {
    let bytes = Self.samples(1000, seed: 4)[1]
    var coded = HuffmanCodec().encode(bytes, as: .weights) ?? []
    change(&coded)
    return HuffmanCodec().decode(ByteSlice(coded), count: 1000)
  }

  @Test func hostileChunksAreRefused() {
    onEveryInstructionSet { _ in
      #expect(changed { _ in } != nil)
      // Too short for a head; a head and nothing else.
      #expect(changed { $0 = [] } == nil)
      #expect(changed { $0.removeLast($0.count - 139) } == nil)
      #expect(changed { $0.removeLast($0.count - 140) } == nil)
      // An incomplete code, an oversubscribed code, a length of 13 bits, no codes.
      #expect(changed { $0[0] &= 0xf0 } == nil)
      #expect(changed { $0[60] = 0x01 } == nil)
      #expect(changed { $0[0] = $0[0] & 0xf0 | 13 } == nil)
      #expect(changed { for index in 0..<128 { $0[index] = 0 } } == nil)
      // Streams that together are longer than the chunk, or 2^32 and more.
      #expect(changed { $0[131] = 1 } == nil)
      #expect(changed { for index in 128..<140 { $0[index] = 0xff } } == nil)
      // A stream with a byte of the next one, and one without its last byte.
      #expect(changed { $0[128] += 1 } == nil)
      #expect(changed { $0[128] -= 1 } == nil)
      // An extra byte at the end, with the unused bits of the one before it.
      #expect(changed { $0.append(0) } == nil)
      // All bits set: the longest codes, which run out of bytes.
      #expect(changed { for index in 140..<$0.count { $0[index] = 0xff } } == nil)
    }
  }

  /// The bits after the last code must be zero.
  @Test func unusedBitsMustBeZero() throws {
    // 301 codes of one bit: 76 for each stream but the last, which has 73.
    var coded = try #require(
      HuffmanCodec().encode([UInt8](repeating: 9, count: 301), as: .weights))
    #expect(HuffmanCodec().decode(ByteSlice(coded), count: 301) != nil)
    #expect(coded.count == 140 + 40)
    for (end, bits) in [(149, 4), (159, 4), (169, 4), (179, 1)] {
      for bit in bits..<8 {
        coded[end] ^= 1 << UInt8(bit)
        #expect(HuffmanCodec().decode(ByteSlice(coded), count: 301) == nil)
        coded[end] ^= 1 << UInt8(bit)
      }
    }
  }

  /// With any bytes after a valid head, decoding ends and agrees with the plain implementation.
  @Test func randomStreamsAgreeWithTheReference() throws {
    var randoms = Randoms(seed: 8)
    let bytes = Self.samples(2000, seed: 9)[2]
    let right = try #require(HuffmanCodec().encode(bytes, as: .weights))
    onEveryInstructionSet { _ in
      for round in 0..<200 {
        var coded = right
        for _ in 0...round % 5 {
          coded[Int.random(in: 128..<coded.count, using: &randoms)] = UInt8.random(
            in: 0...255, using: &randoms)
        }
        let found = HuffmanCodec().decode(ByteSlice(coded), count: 2000)
        let plain = try? PlainHuffman.decode(coded, count: 2000)
        #expect(found == plain)
      }
    }
  }

  @Test func checksumsAreZlibs() {
    var randoms = Randoms(seed: 3)
    let bytes = randoms.bytes(3000)
    // Single bytes use the code without folding.
    var plain: [UInt32] = [0]
    for byte in bytes { plain.append(crc32(of: [byte], after: plain[plain.count - 1])) }
    #expect(crc32(of: [UInt8]("123456789".utf8)) == 0xcbf4_3926)
    onEveryInstructionSet { _ in
      for count in Array(0...700) + [2047, 2048, 3000] {
        #expect(crc32(of: Array(bytes[..<count])) == plain[count])
        let first = count / 3
        #expect(
          crc32(of: Array(bytes[first..<count]), after: plain[first]) == plain[count])
      }
    }
  }
}
