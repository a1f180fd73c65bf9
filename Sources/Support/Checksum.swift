private import CKernels
private import CZlib

/// CRC-32 (zlib, ZIP, PNG, IEEE 802.3) of `bytes`, going on from the CRC-32 of what came before them.
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

/// CRC-32 of `bytes`, going on from the CRC-32 of what came before them.
package func crc32(of bytes: [UInt8], after crc: UInt32 = 0) -> UInt32 {
  crc32(of: bytes.span.bytes, after: crc)
}
