private import CKernels

/// Packers that store codes of 5 or 6 bits as their 4 high bits, as ``Int4Packer`` does, and in a
/// part of their own the 1 or 2 low bits, 8 or 4 codes in a byte, the first code in the lowest bits.
///
/// The entropy of a byte of two high halves is that of the codes, and low bits have nearly none to
/// save: an entropy coder comes within 0.02 bits of the entropy of the codes. It would need half a bit
/// more for codes one after another.
protocol SplitPacker: CodePacker {}

extension SplitPacker {
  /// The bits of a code that are stored apart: 1 or 2.
  private var lowBits: Int { bits - 4 }

  func rowBytes(_ count: Int) -> Int { Int4Packer().rowBytes(count) }

  func lowRowBytes(_ count: Int) -> Int? {
    let codesOfByte = 8 / lowBits
    return count / codesOfByte + (count % codesOfByte == 0 ? 0 : 1)
  }

  func pack(
    _ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer,
    lowBits low: UnsafeMutableRawBufferPointer
  ) {
    packBits(of: codes, 4, shiftedBy: lowBits, into: row)
    packBits(of: codes, lowBits, shiftedBy: 0, into: low)
  }

  func unpack(_ row: CodeRow, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>) {
    guard let low = row.lowBits else { return }
    Int4Packer().unpack(row, columns: columns, into: codes)
    for (index, column) in columns.enumerated() {
      let byte = low.load(fromByteOffset: column * lowBits / 8, as: UInt8.self)
      let bits = byte >> UInt8(column * lowBits % 8) & ((1 << UInt8(lowBits)) - 1)
      codes[index] = codes[index] << Int16(lowBits) | Int16(bits)
    }
  }

  func widen(
    _ row: CodeRow, columns: Range<Int>, scale: Float, into target: UnsafeMutablePointer<Float>
  ) {
    guard let low = row.lowBits else { return }
    decant_split_to_f32(
      row.codes.assumingMemoryBound(to: UInt8.self), low.assumingMemoryBound(to: UInt8.self),
      Int32(lowBits), columns.lowerBound, scale, target, columns.count)
  }
}
