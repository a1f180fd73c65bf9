private import CKernels
private import CZlib

/// The CRC-32 checksum (IEEE 802.3, as in zlib, ZIP and PNG) of `bytes`.
///
/// - Parameter crc: the checksum of the bytes that precede `bytes`.
package func crc32(of bytes: RawSpan, after crc: UInt32 = 0) -> UInt32 {
  if bytes.byteCount == 0 { return crc }
  return bytes.withUnsafeBytes { raw in
    let start = raw.baseAddress?.assumingMemoryBound(to: UInt8.self)
    var crc = crc
    var rest = [UInt8](repeating: 0, count: 16)
    let folded = decant_crc32_fold(crc, start, raw.count, &rest)
    if folded > 0 {
      crc = UInt32(truncatingIfNeeded: CZlib.crc32_z(0xffff_ffff, rest, rest.count))
    }
    return UInt32(
      truncatingIfNeeded: CZlib.crc32_z(
        UInt(crc), start.map { $0 + folded }, raw.count - folded))
  }
}

/// The FNV-1a hash of 64 bits (Fowler, Noll, Vo) of `bytes`.
package func fnv1a(_ bytes: some Sequence<UInt8>) -> UInt64 {
  bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

/// The CRC-32 checksum of `bytes`; `crc` is the checksum of the bytes that precede them.
package func crc32(of bytes: [UInt8], after crc: UInt32 = 0) -> UInt32 {
  crc32(of: bytes.span.bytes, after: crc)
}
