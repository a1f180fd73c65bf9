private import CKernels

/// Huffman codes of bytes in four streams, each of a quarter of them: codec 2 of `Formats/decant.md`
/// without the chunk's head. Four, because a stream's next code begins where the one before ends:
/// a processor waits for that, and meanwhile takes codes of the other streams.
package enum HuffmanStreams {
  /// The longest code, in bits.
  package static let longestCode = Int(DECANT_HUFFMAN_BITS)
  package static let count = Int(DECANT_HUFFMAN_STREAMS)

  /// Codes and decoded bytes of each stream: the last may have fewer, or none.
  private static func ranges(of count: Int) -> [Range<Int>] {
    let quarter = (count + self.count - 1) / self.count
    return (0..<self.count).map { min($0 * quarter, count)..<min(($0 + 1) * quarter, count) }
  }

  /// The streams of `bytes` one after another, after `head` bytes of zero, and the length of each;
  /// `nil` when all that is not shorter than `bytes`.
  ///
  /// - Parameter codes: for each byte value its code, bits from the lowest up, times 256, plus the
  ///   length of the code; 0 for values that do not occur.
  package static func encode(
    _ bytes: [UInt8], codes: [UInt32], after head: Int
  ) -> (bytes: [UInt8], lengths: [Int])? {
    precondition(codes.count == 256, "codes of \(codes.count) values")
    guard bytes.count > head else { return nil }
    var lengths: [Int] = []
    // Codes are written eight bytes at a time.
    let room = bytes.count + 7
    let output = [UInt8](unsafeUninitializedCapacity: room) { target, used in
      UnsafeMutableBufferPointer(rebasing: target[..<head]).initialize(repeating: 0)
      used = head
      for range in ranges(of: bytes.count) {
        let length = bytes.withUnsafeBufferPointer { source in
          decant_huffman_encode(
            UnsafeBufferPointer(rebasing: source[range]).baseAddress, range.count, codes,
            target.baseAddress.map { $0 + used }, room - used)
        }
        // There is no room.
        if length < 0 { break }
        lengths.append(length)
        used += length
      }
    }
    return lengths.count == count && output.count < bytes.count ? (output, lengths) : nil
  }

  /// The `count` bytes of streams that lie one after another and fill `streams`; `nil` when one
  /// does not end in its last byte, with zeros.
  ///
  /// - Parameter table: at each value of the next ``longestCode`` bits, the byte value that their
  ///   code stands for times 256, plus the length of the code, at least 1.
  /// - Precondition: the lengths add up to the bytes of `streams`.
  package static func decode(
    _ streams: ByteSlice, lengths: [Int], table: [UInt16], count: Int
  ) -> [UInt8]? {
    precondition(
      table.count == 1 << longestCode && lengths.count == self.count
        && lengths.reduce(0, +) == streams.count,
      "streams of \(lengths) in \(streams.count) bytes, a table of \(table.count)")
    var isWhole = false
    let output = [UInt8](unsafeUninitializedCapacity: count) { target, used in
      isWhole = streams.withUnsafeBytes { source in
        decant_huffman_decode(
          source.baseAddress?.assumingMemoryBound(to: UInt8.self), lengths, table, count,
          target.baseAddress) != 0
      }
      used = isWhole ? count : 0
    }
    return isWhole ? output : nil
  }
}
