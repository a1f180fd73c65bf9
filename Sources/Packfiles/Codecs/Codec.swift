package import Support

/// A lossless coding of one chunk: at most 262,144 bytes that are coded by themselves.
///
/// A codec is one file that conforms to this, and one line in ``Codecs/all``. Its identifier is
/// written to files and never given again; see section 4 of `Formats/decant.md`.
package protocol Codec: Sendable {
  var identifier: Int { get }
  var name: String { get }

  /// The chunk coded; `nil` when that is not shorter, or when another codec is the one for such
  /// content.
  func encode(_ bytes: [UInt8], as content: ChunkContent) -> [UInt8]?

  /// The chunk decoded; `nil` when `bytes` do not decode to exactly `count` bytes, using all of
  /// them. Needs memory for `count` bytes and no more, whatever `bytes` are.
  func decode(_ bytes: ByteSlice, count: Int) -> [UInt8]?
}

/// What a chunk is made of, which tells a codec where to look for savings.
package enum ChunkContent: Sendable {
  /// Planes of numbers: bytes of uneven frequency, without repetitions.
  case weights
  /// A tokenizer's vocabulary and the like.
  case text
}

package enum Codecs {
  /// Every codec that files may use.
  package static let all: [any Codec] = [StoredCodec(), DeflateCodec(), HuffmanCodec()]

  /// The codec of that identifier, or `nil`.
  static func codec(_ identifier: Int) -> (any Codec)? {
    all.first { $0.identifier == identifier }
  }
}
