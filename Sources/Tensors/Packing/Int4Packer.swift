private import CKernels

/// Stores two int4 codes in a byte, in two's complement, the first code in the low nibble.
///
/// A row of odd length ends with a zero nibble.
struct Int4Packer: CodePacker {
  let bits = 4

  func rowBytes(_ count: Int) -> Int { count / 2 + count % 2 }

  func pack(
    _ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer,
    lowBits: UnsafeMutableRawBufferPointer
  ) {
    packBits(of: codes, 4, shiftedBy: 0, into: row)
  }

  func unpack(_ row: CodeRow, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>) {
    for (index, column) in columns.enumerated() {
      let byte = row.codes.load(fromByteOffset: column / 2, as: UInt8.self)
      // The shift to the right extends the sign.
      codes[index] = Int16(Int8(bitPattern: column % 2 == 0 ? byte << 4 : byte & 0xf0) >> 4)
    }
  }

  func widen(
    _ row: CodeRow, columns: Range<Int>, scale: Float, into target: UnsafeMutablePointer<Float>
  ) {
    decant_i4_to_f32(
      row.codes.assumingMemoryBound(to: UInt8.self), columns.lowerBound, scale, target,
      columns.count)
  }
}

/// Packs `width` bits of each code, 1, 2 or 4 of them from bit `shift` on, the first code in the
/// lowest bits of a byte. Unused bits are zeros.
func packBits(
  of codes: UnsafeBufferPointer<Int16>, _ width: Int, shiftedBy shift: Int,
  into row: UnsafeMutableRawBufferPointer
) {
  let (codesOfByte, mask) = (8 / width, UInt8((1 << width) - 1))
  for index in row.indices {
    let first = index * codesOfByte
    var byte: UInt8 = 0
    for offset in 0..<min(codesOfByte, codes.count - first) {
      let bits = UInt8(truncatingIfNeeded: codes[first + offset] >> Int16(shift)) & mask
      byte |= bits << UInt8(offset * width)
    }
    row[index] = byte
  }
}
