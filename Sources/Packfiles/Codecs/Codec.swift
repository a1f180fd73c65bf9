package import Support

/// A lossless compression of one chunk of at most 262,144 bytes. Chunks are independent.
///
/// A new codec is one file with a type that conforms to this protocol, and one line in
/// ``Codecs/all``. Files store its identifier, so an identifier is never used again; see section 4
/// of `Formats/decant.md`.
package protocol Codec: Sendable {
  var identifier: Int { get }
  var name: String { get }

  /// The estimated bytes of an encoded chunk; `nil` where the codec is not meant for the content.
  /// Writers encode only chunks for which an estimate is small enough.
  ///
  /// - Parameter counts: how often each of the 256 byte values occurs in the chunk.
  func estimatedSize(counts: some Collection<UInt32>, as content: ChunkContent) -> Double?

  /// The bytes of an encoded chunk, to within 3; `nil` where they do not follow from the counts, and
  /// where the codec is not meant for the content.
  ///
  /// - Parameter counts: how often each of the 256 byte values occurs in the chunk.
  func size(counts: [UInt32], as content: ChunkContent) -> Int?

  /// The encoded chunk; `nil` where it is not shorter, or where the codec is not meant for the
  /// content.
  ///
  /// - Parameter counts: how often each of the 256 byte values occurs in `bytes`.
  func encode(_ bytes: [UInt8], counts: [UInt32], as content: ChunkContent) -> [UInt8]?

  /// The decoded chunk; `nil` unless all of `bytes` decode to exactly `count` bytes. Takes memory
  /// for at most `count` bytes, also for hostile input.
  func decode(_ bytes: ByteSlice, count: Int) -> [UInt8]?
}

extension Codec {
  package func size(counts: [UInt32], as content: ChunkContent) -> Int? { nil }
}

/// The content of a chunk, by which codecs decide whether to encode it.
package enum ChunkContent: Sendable {
  /// Planes of numbers: bytes with uneven frequencies and without repeated sequences.
  case weights
  /// Text, such as a tokenizer's vocabulary.
  case text
}

/// The codecs of the `.decant` format.
package enum Codecs {
  /// Every codec. Of equal results, writers use the first.
  package static let all: [any Codec] = [StoredCodec(), DeflateCodec(), HuffmanCodec()]

  /// The least of the codecs' estimates; `nil` where no codec is meant for the content.
  static func estimatedSize(
    counts: some Collection<UInt32>, as content: ChunkContent
  ) -> Double? {
    all.compactMap { $0.estimatedSize(counts: counts, as: content) }.min()
  }

  /// The codec with an identifier; `nil` where there is none.
  static func codec(_ identifier: Int) -> (any Codec)? {
    all.first { $0.identifier == identifier }
  }
}
