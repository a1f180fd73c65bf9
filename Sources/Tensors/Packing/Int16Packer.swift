private import CKernels

/// Stores codes of 16 bits as little-endian words `(code + 128) mod 2^16`.
///
/// The high byte of every code from -128 to 127 is then 0. In two's complement it would be 0 or 255 by
/// the sign, which the low byte holds too.
struct Int16Packer: CodePacker {
  let bits = 16

  func rowBytes(_ count: Int) -> Int {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: 2)
    return overflow ? .max : bytes
  }

  func pack(
    _ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer,
    lowBits: UnsafeMutableRawBufferPointer
  ) {
    for (index, code) in codes.enumerated() {
      row.storeBytes(of: (code &+ 128).littleEndian, toByteOffset: 2 * index, as: Int16.self)
    }
  }

  func unpack(_ row: CodeRow, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>) {
    for (index, column) in columns.enumerated() {
      let word = row.codes.loadUnaligned(fromByteOffset: 2 * column, as: Int16.self)
      codes[index] = Int16(littleEndian: word) &- 128
    }
  }

  func widen(
    _ row: CodeRow, columns: Range<Int>, scale: Float, into target: UnsafeMutablePointer<Float>
  ) {
    decant_i16_to_f32(
      (row.codes + 2 * columns.lowerBound).assumingMemoryBound(to: UInt8.self), scale, target,
      columns.count)
  }
}
