private import CKernels

/// Huffman coding of bytes in four streams, each of a quarter of the bytes: codec 2 of
/// `Formats/decant.md` without the chunk's header.
///
/// A code begins where the previous code of its stream ends, so a single stream is decoded
/// serially. Four streams let the processor decode four codes at the same time.
package enum HuffmanStreams {
  /// The longest code, in bits.
  package static let longestCode = Int(DECANT_HUFFMAN_BITS)
  package static let count = Int(DECANT_HUFFMAN_STREAMS)

  /// The decoded bytes of each stream. The last streams may be shorter or empty.
  private static func ranges(of count: Int) -> [Range<Int>] {
    let quarter = (count + self.count - 1) / self.count
    return (0..<self.count).map { min($0 * quarter, count)..<min(($0 + 1) * quarter, count) }
  }

  /// Encodes `bytes`. Returns `head` zero bytes followed by the streams one after another, and the
  /// length of each stream; `nil` when the result is not shorter than `bytes`.
  ///
  /// - Parameter codes: for each byte value, `code * 256 + length of the code in bits`, the first
  ///   bit of a code in its lowest bit; 0 for values that do not occur.
  package static func encode(
    _ bytes: [UInt8], codes: [UInt32], after head: Int
  ) -> (bytes: [UInt8], lengths: [Int])? {
    precondition(codes.count == 256, "codes of \(codes.count) values")
    guard bytes.count > head else { return nil }
    var lengths: [Int] = []
    // The C function writes eight bytes at a time.
    let capacity = bytes.count + 7
    let output = [UInt8](unsafeUninitializedCapacity: capacity) { target, used in
      UnsafeMutableBufferPointer(rebasing: target[..<head]).initialize(repeating: 0)
      used = head
      for range in ranges(of: bytes.count) {
        let length = bytes.withUnsafeBufferPointer { source in
          decant_huffman_encode(
            UnsafeBufferPointer(rebasing: source[range]).baseAddress, range.count, codes,
            target.baseAddress.map { $0 + used }, capacity - used)
        }
        // The stream does not fit.
        if length < 0 { break }
        lengths.append(length)
        used += length
      }
    }
    return lengths.count == count && output.count < bytes.count ? (output, lengths) : nil
  }

  /// Decodes `count` bytes from adjacent streams that fill `streams`. Returns
  /// `nil` when a stream does not end in its last byte, padded with zero bits.
  ///
  /// - Parameter table: for each value of the next ``longestCode`` bits,
  ///   `decoded byte * 256 + length of the code in bits`; the length is at least 1.
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
