import Packfiles
import Support
import Tensors
import TestSupport
import Testing

@Suite struct CodecTests {
  @Test func identifiersAreNeverChanged() {
    #expect(Codecs.all.map(\.identifier) == [0, 1, 2])
    #expect(Codecs.all.map(\.name) == ["stored", "deflate", "huffman"])
  }

  @Test(arguments: [1, 2, 255, 256, 65_536, 262_144]) func chunksAreDecoded(count: Int) throws {
    var randoms = Randoms(seed: UInt64(count))
    let skewed = (0..<count).map { _ in UInt8(truncatingIfNeeded: Int(randoms.gaussian() * 9)) }
    var coders: Set<String> = []
    for codec in Codecs.all {
      for content in [ChunkContent.weights, .text] {
        for bytes in [skewed, randoms.bytes(count), [UInt8](repeating: 3, count: count)] {
          guard let coded = codec.encode(bytes, as: content) else { continue }
          coders.insert("\(codec.name) for \(content)")
          #expect(coded.count < count)
          #expect(coded.count * 16 >= count)
          #expect(codec.decode(ByteSlice(coded), count: count) == bytes)
          #expect(codec.decode(ByteSlice(coded), count: count / 2) == nil)
          #expect(codec.decode(ByteSlice(coded), count: count * 2) == nil)
          #expect(codec.decode(ByteSlice(coded + [0]), count: count) == nil)
          #expect(codec.decode(ByteSlice(coded.dropLast()), count: count) == nil)
        }
      }
    }
    #expect(coders == (count < 255 ? [] : ["deflate for text", "huffman for weights"]))
    #expect(DeflateCodec().encode(randoms.bytes(count), as: .text) == nil)
    #expect(HuffmanCodec().encode(randoms.bytes(count), as: .weights) == nil)
  }

  @Test func estimatesAreNearTheEncodedSize() throws {
    var randoms = Randoms(seed: 7)
    let bytes = (0..<65_536).map { _ in UInt8(truncatingIfNeeded: Int(randoms.gaussian() * 9)) }
    let counts = ByteSlice(bytes).byteCounts(planes: 1)
    let cases: [(any Codec, ChunkContent, other: ChunkContent)] = [
      (DeflateCodec(), .text, .weights), (HuffmanCodec(), .weights, .text),
    ]
    for (codec, content, other) in cases {
      let estimate = try #require(codec.estimatedSize(counts: counts, as: content))
      let coded = try #require(codec.encode(bytes, as: content))
      #expect((0.9...1.1).contains(Double(coded.count) / estimate), "\(codec.name)")
      #expect(codec.estimatedSize(counts: counts, as: other) == nil)
    }
    #expect(StoredCodec().estimatedSize(counts: counts, as: .weights) == nil)
  }

  /// A stream of 104 KiB that decodes to 16 MiB is stopped at the chunk size.
  @Test func decodingStopsAtTheChunkSize() {
    #expect(DeflateCodec().decode(ByteSlice(bomb), count: 1000) == nil)
    // The stream itself is valid.
    #expect(
      DeflateCodec().decode(ByteSlice(bomb), count: 1 + 65_536 * 258)?.allSatisfy { $0 == 0 }
        == true)
  }

  /// One fixed-Huffman block: a zero, then matches of 258 bytes at distance 1, 64 Ki of them.
  private var bomb: [UInt8] {
    var bits: [UInt8] = [1, 1, 0]
    bits += [0, 0, 1, 1, 0, 0, 0, 0]
    for _ in 0..<65_536 { bits += [1, 1, 0, 0, 0, 1, 0, 1] + [0, 0, 0, 0, 0] }
    bits += [0, 0, 0, 0, 0, 0, 0]
    bits += [UInt8](repeating: 0, count: (8 - bits.count % 8) % 8)
    return stride(from: 0, to: bits.count, by: 8).map { start in
      (0..<8).reduce(0) { $0 | bits[start + $1] << UInt8($1) }
    }
  }
}
