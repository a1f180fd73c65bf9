package import Support

/// Codec 1: one raw deflate stream.
///
/// For files alone: matches are not worth looking for in weights, and ``HuffmanCodec`` is faster.
/// Decant coded weights with it, by Huffman codes alone, before that codec was there.
package struct DeflateCodec: Codec {
  package init() {}

  package let identifier = 1
  package let name = "deflate"

  package func encode(_ bytes: [UInt8], as content: ChunkContent) -> [UInt8]? {
    guard content == .text else { return nil }
    // Matches can shorten a chunk by more than the format's limit, Huffman codes by eight at most.
    if let output = deflated(bytes, .matches),
      output.count * Packfile.expansionLimit >= bytes.count
    {
      return output
    }
    return deflated(bytes, .huffman)
  }

  package func decode(_ bytes: ByteSlice, count: Int) -> [UInt8]? { inflated(bytes, count: count) }
}
