package import Support

/// Codec 0: uncompressed bytes, for chunks that no codec shortens.
package struct StoredCodec: Codec {
  package init() {}

  package let identifier = 0
  package let name = "stored"

  package func estimatedSize(
    counts: some Collection<UInt32>, as content: ChunkContent
  ) -> Double? { nil }

  package func encode(
    _ bytes: [UInt8], counts: [UInt32], as content: ChunkContent
  ) -> [UInt8]? { nil }

  package func decode(_ bytes: ByteSlice, count: Int) -> [UInt8]? {
    bytes.count == count ? bytes.array : nil
  }
}
