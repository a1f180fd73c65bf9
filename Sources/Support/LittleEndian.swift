extension [UInt8] {
  /// Appends the bytes of `integer`, the least significant first.
  package mutating func appendLittleEndian(_ integer: some FixedWidthInteger) {
    var rest = integer
    for _ in 0..<integer.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  /// The bytes of `integer`, the least significant first.
  package init(littleEndian integer: some FixedWidthInteger) {
    self = []
    appendLittleEndian(integer)
  }
}
