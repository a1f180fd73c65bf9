private import CKernels

/// Stores two int4 codes in a byte, in two's complement, the first code in the low nibble.
///
/// A row of odd length ends with a zero nibble.
struct Int4Packer: CodePacker {
  let bits = 4

  func rowBytes(_ count: Int) -> Int { count / 2 + count % 2 }

  func pack(_ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer) {
    for index in row.indices {
      let low = UInt8(truncatingIfNeeded: codes[2 * index]) & 15
      let high =
        2 * index + 1 < codes.count ? UInt8(truncatingIfNeeded: codes[2 * index + 1]) & 15 : 0
      row[index] = low | high << 4
    }
  }

  func unpack(
    _ row: UnsafeRawPointer, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>
  ) {
    for (index, column) in columns.enumerated() {
      let byte = row.load(fromByteOffset: column / 2, as: UInt8.self)
      // The shift to the right extends the sign.
      codes[index] = Int16(Int8(bitPattern: column % 2 == 0 ? byte << 4 : byte & 0xf0) >> 4)
    }
  }

  func widen(
    _ row: UnsafeRawPointer, columns: Range<Int>, scale: Float,
    into target: UnsafeMutablePointer<Float>
  ) {
    decant_i4_to_f32(
      row.assumingMemoryBound(to: UInt8.self), columns.lowerBound, scale, target, columns.count)
  }
}
