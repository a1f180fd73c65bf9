package import Support

/// Codec 1: one raw deflate stream.
///
/// Decant encodes text with it. Weights have no matches, and ``HuffmanCodec`` is faster for them;
/// versions before that codec encoded weights with deflate's Huffman codes.
package struct DeflateCodec: Codec {
  package init() {}

  package let identifier = 1
  package let name = "deflate"

  /// About the bytes that deflate takes for the lengths of its codes.
  private static let tableSize = 100

  /// The estimate of a chunk without matches.
  package func estimatedSize(
    counts: some Collection<UInt32>, as content: ChunkContent
  ) -> Double? {
    content == .text ? Double(Self.tableSize) + HuffmanCode.estimatedSize(counts: counts) : nil
  }

  package func encode(
    _ bytes: [UInt8], counts: [UInt32], as content: ChunkContent
  ) -> [UInt8]? {
    guard content == .text else { return nil }
    // Matches can compress more than the format allows. Huffman codes compress at most eightfold.
    if let output = deflated(bytes, .matches),
      output.count * Packfile.expansionLimit >= bytes.count
    {
      return output
    }
    return deflated(bytes, .huffman)
  }

  package func decode(_ bytes: ByteSlice, count: Int) -> [UInt8]? { inflated(bytes, count: count) }
}
