private import CKernels

/// Stores int8 codes as one byte each.
struct Int8Packer: CodePacker {
  let bits = 8

  func rowBytes(_ count: Int) -> Int { count }

  func pack(_ codes: UnsafeBufferPointer<Int8>, into row: UnsafeMutableRawBufferPointer) {
    row.copyMemory(from: UnsafeRawBufferPointer(codes))
  }

  func unpack(
    _ row: UnsafeRawPointer, columns: Range<Int>, into codes: UnsafeMutablePointer<Int8>
  ) {
    UnsafeMutableRawPointer(codes).copyMemory(
      from: row + columns.lowerBound, byteCount: columns.count)
  }

  func widen(
    _ row: UnsafeRawPointer, columns: Range<Int>, scale: Float,
    into target: UnsafeMutablePointer<Float>
  ) {
    decant_i8_to_f32(
      (row + columns.lowerBound).assumingMemoryBound(to: Int8.self), scale, target, columns.count)
  }
}
