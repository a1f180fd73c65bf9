private import CKernels

/// Stores int8 codes as one byte each.
struct Int8Packer: CodePacker {
  let bits = 8

  func rowBytes(_ count: Int) -> Int { count }

  func pack(
    _ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer,
    lowBits: UnsafeMutableRawBufferPointer
  ) {
    for index in row.indices { row[index] = UInt8(truncatingIfNeeded: codes[index]) }
  }

  func unpack(_ row: CodeRow, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>) {
    for (index, column) in columns.enumerated() {
      codes[index] = Int16(row.codes.load(fromByteOffset: column, as: Int8.self))
    }
  }

  func widen(
    _ row: CodeRow, columns: Range<Int>, scale: Float, into target: UnsafeMutablePointer<Float>
  ) {
    decant_i8_to_f32(
      (row.codes + columns.lowerBound).assumingMemoryBound(to: Int8.self), scale, target,
      columns.count)
  }
}
