package import Support
internal import Tensors

/// Codec 2: Huffman codes in four streams.
///
///     0                    128                      140
///     +---------------------+------------------------+----------+---  …  ---+----------+
///     | lengths of codes    | bytes of streams 0 … 2 | stream 0 |           | stream 3 |
///     +---------------------+------------------------+----------+---  …  ---+----------+
///
/// Weights have no repeated sequences, so deflate compresses them no better. This codec is several
/// times as fast: it has one table for a chunk, codes for bytes only, and streams that are decoded
/// at the same time.
package struct HuffmanCodec: Codec {
  package init() {}

  package let identifier = 2
  package let name = "huffman"

  /// Bytes of the code's lengths, two in a byte.
  private static let codeSize = 128
  /// Bytes of the code's lengths and of the lengths of all streams but the last.
  private static let headSize = codeSize + 4 * (HuffmanStreams.count - 1)

  package func estimatedSize(
    counts: some Collection<UInt32>, as content: ChunkContent
  ) -> Double? {
    content == .weights ? Double(Self.headSize) + HuffmanCode.estimatedSize(counts: counts) : nil
  }

  /// The four streams end in whole bytes, so that the size is up to 3 bytes too small.
  package func size(counts: [UInt32], as content: ChunkContent) -> Int? {
    guard content == .weights, let code = HuffmanCode(counts: counts) else { return nil }
    let bits = zip(counts, code.lengths).reduce(0) { $0 + Int($1.0) * Int($1.1) }
    return Self.headSize + (bits + 7) / 8
  }

  package func encode(
    _ bytes: [UInt8], counts: [UInt32], as content: ChunkContent
  ) -> [UInt8]? {
    guard content == .weights, bytes.count > Self.headSize,
      let code = HuffmanCode(counts: counts),
      let streams = HuffmanStreams.encode(bytes, codes: code.codes, after: Self.headSize)
    else { return nil }
    var output = streams.bytes
    for index in 0..<Self.codeSize {
      output[index] = code.lengths[2 * index] | code.lengths[2 * index + 1] << 4
    }
    var head: [UInt8] = []
    for length in streams.lengths.dropLast() { head.appendLittleEndian(UInt32(length)) }
    output.replaceSubrange(Self.codeSize..<Self.headSize, with: head)
    return output
  }

  package func decode(_ bytes: ByteSlice, count: Int) -> [UInt8]? {
    guard bytes.count >= Self.headSize else { return nil }
    let head = bytes[0..<Self.headSize].array
    guard let code = HuffmanCode(lengths: head[..<Self.codeSize].flatMap { [$0 & 15, $0 >> 4] })
    else { return nil }
    let streams = bytes[Self.headSize..<bytes.count]
    var lengths = stride(from: Self.codeSize, to: Self.headSize, by: 4).map {
      Int(head.integer32(at: $0))
    }
    let last = streams.count - lengths.reduce(0, +)
    guard last >= 0 else { return nil }
    lengths.append(last)
    return HuffmanStreams.decode(streams, lengths: lengths, table: code.table, count: count)
  }
}
