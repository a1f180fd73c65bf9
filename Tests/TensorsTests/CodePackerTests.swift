import Support
import Tensors
import Testing

/// Stores the codes of a row as a stream of 5-bit numbers, the first one in the lowest bits: a
/// width that uses the default ``CodePacker/widen(_:columns:scale:into:)``.
private struct Int5Packer: CodePacker {
  let bits = 5

  func rowBytes(_ count: Int) -> Int { count / 8 * 5 + (count % 8 * 5 + 7) / 8 }

  func pack(_ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer) {
    for index in row.indices { row[index] = 0 }
    for (index, code) in codes.enumerated() {
      for bit in 0..<5 where code >> bit & 1 == 1 {
        row[(index * 5 + bit) / 8] |= 1 << UInt8((index * 5 + bit) % 8)
      }
    }
  }

  func unpack(
    _ row: UnsafeRawPointer, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>
  ) {
    for (index, column) in columns.enumerated() {
      let code = (0..<5).reduce(into: UInt8(0)) { code, bit in
        let place = column * 5 + bit
        let byte = row.load(fromByteOffset: place / 8, as: UInt8.self)
        code |= (byte >> UInt8(place % 8) & 1) << UInt8(bit)
      }
      codes[index] = Int16(Int8(bitPattern: code << 3) >> 3)
    }
  }
}

struct CodePackerTests {
  static let packers: [any CodePacker] = CodePackers.all + [Int5Packer()]

  /// Codes over the whole range of the width.
  private func codes(_ count: Int, bits: Int) -> [Int16] {
    (0..<count).map { Int16(truncatingIfNeeded: ($0 &* 37 &+ 11) << 8) >> (16 - bits) }
  }

  private func pack(_ codes: [Int16], _ packer: any CodePacker) -> [UInt8] {
    // Every byte must be written.
    var row = [UInt8](repeating: 0xff, count: packer.rowBytes(codes.count))
    codes.withUnsafeBufferPointer { codes in
      row.withUnsafeMutableBytes { packer.pack(codes, into: $0) }
    }
    return row
  }

  @Test(arguments: packers.indices, 0..<20)
  func rowsRoundTrip(index: Int, count: Int) {
    let packer = Self.packers[index]
    let codes = codes(count, bits: packer.bits)
    let row = pack(codes, packer)
    #expect(row.count == (count * packer.bits + 7) / 8)
    for first in 0..<count {
      for end in first...count {
        let found = [Int16](unsafeUninitializedCapacity: end - first) { target, used in
          row.withUnsafeBytes { row in
            if let row = row.baseAddress, let target = target.baseAddress {
              packer.unpack(row, columns: first..<end, into: target)
            }
          }
          used = end - first
        }
        #expect(found == Array(codes[first..<end]))
        let widened = [Float](unsafeUninitializedCapacity: end - first) { target, used in
          row.withUnsafeBytes { row in
            if let row = row.baseAddress, let target = target.baseAddress {
              packer.widen(row, columns: first..<end, scale: 0.25, into: target)
            }
          }
          used = end - first
        }
        #expect(widened == codes[first..<end].map { 0.25 * Float($0) })
      }
    }
  }

  private func packer(bits: Int) throws -> any CodePacker {
    try #require(CodePackers.all.first { $0.bits == bits })
  }

  @Test func rowsHaveExactBytes() throws {
    #expect(pack([1, -1, -128], try packer(bits: 8)) == [0x01, 0xff, 0x80])
    // The first code is in the low nibble, and an odd row ends with a zero nibble.
    #expect(pack([7, -8, 1], try packer(bits: 4)) == [0x87, 0x01])
  }

  @Test func sizesOfLongRowsDoNotOverflow() throws {
    #expect(try packer(bits: 8).rowBytes(.max) == .max)
    #expect(try packer(bits: 4).rowBytes(.max) == Int.max / 2 + 1)
    for packer in CodePackers.all { #expect(packer.rowBytes(.max) > Int.max / 16) }
  }

  @Test func widthsAreDistinct() {
    let widths = CodePackers.all.map(\.bits)
    #expect(Set(widths).count == widths.count)
    #expect(widths.allSatisfy { 1...16 ~= $0 })
  }

  @Test func tensorsArePackedRowByRow() {
    let codes: [Int8] = [7, -8, 1, -1, 2, 3]
    #expect(TensorEncoding.int8.packed(codes, for: [2, 3]).array == [7, 0xf8, 1, 0xff, 2, 3])
    let int4 = TensorEncoding.symmetric(bits: 4, groupSize: 32)
    #expect(int4.packed(codes, for: [2, 3]).array == [0x87, 0x01, 0x2f, 0x03])
    #expect(int4.packed([], for: [0, 3]).array == [])
    #expect(int4.packed([], for: [3, 0]).array == [])
  }

  @Test func codesOfARowAreUnpacked() {
    for (encoding, bytes) in [
      (TensorEncoding.int8, [7, 0xf8, 1, 0xff, 2, 3] as [UInt8]),
      (.symmetric(bits: 4, groupSize: nil), [0x87, 0x01, 0x2f, 0x03]),
    ] {
      let tensor = StoredTensor(
        shape: [2, 3], encoding: encoding, parts: [ByteSlice(bytes), ByteSlice([1, 1] as [Float])])
      #expect(tensor.codes(row: 0) == [7, -8, 1])
      #expect(tensor.codes(row: 1) == [-1, 2, 3])
    }
  }

  @Test func wrongNumbersOfCodesTrap() async {
    await #expect(processExitsWith: .failure) {
      _ = TensorEncoding.int8.packed([1, 2, 3], for: [2, 2])
    }
  }
}
