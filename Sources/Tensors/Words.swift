extension ByteSlice {
  /// Words, little-endian as every machine that Decant runs on stores them.
  package init(_ words: [UInt64]) { self.init(ArrayOwner(words)) }

  /// The bytes as little-endian words.
  ///
  /// - Precondition: the number of bytes is a multiple of 8.
  package var words: [UInt64] {
    precondition(count % 8 == 0, "\(count) bytes as words of 8")
    return withUnsafeBytes { raw in
      (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    }
  }
}
