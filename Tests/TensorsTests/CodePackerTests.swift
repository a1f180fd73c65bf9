import Support
import Tensors
import Testing

/// Stores the codes of a row as a stream of 5-bit numbers, the first one in the lowest bits: a
/// packer that uses the default ``CodePacker/widen(_:columns:scale:into:)``.
private struct StreamPacker: CodePacker {
  let bits = 5

  func rowBytes(_ count: Int) -> Int { count / 8 * 5 + (count % 8 * 5 + 7) / 8 }

  func pack(
    _ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer,
    lowBits: UnsafeMutableRawBufferPointer
  ) {
    for index in row.indices { row[index] = 0 }
    for (index, code) in codes.enumerated() {
      for bit in 0..<5 where code >> bit & 1 == 1 {
        row[(index * 5 + bit) / 8] |= 1 << UInt8((index * 5 + bit) % 8)
      }
    }
  }

  func unpack(_ row: CodeRow, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>) {
    for (index, column) in columns.enumerated() {
      let code = (0..<5).reduce(into: UInt8(0)) { code, bit in
        let place = column * 5 + bit
        let byte = row.codes.load(fromByteOffset: place / 8, as: UInt8.self)
        code |= (byte >> UInt8(place % 8) & 1) << UInt8(bit)
      }
      codes[index] = Int16(Int8(bitPattern: code << 3) >> 3)
    }
  }
}

struct CodePackerTests {
  static let packers: [any CodePacker] = CodePackers.all + [StreamPacker()]

  /// Codes over the whole range of the width.
  private func codes(_ count: Int, bits: Int) -> [Int16] {
    (0..<count).map { Int16(truncatingIfNeeded: ($0 &* 37 &+ 11) << 8) >> (16 - bits) }
  }

  /// The packed row, and the low bits that are stored apart.
  private func packed(_ codes: [Int16], _ packer: any CodePacker) -> (row: [UInt8], low: [UInt8]) {
    // Every byte must be written.
    var row = [UInt8](repeating: 0xff, count: packer.rowBytes(codes.count))
    var low = [UInt8](repeating: 0xff, count: packer.lowRowBytes(codes.count) ?? 0)
    codes.withUnsafeBufferPointer { codes in
      row.withUnsafeMutableBytes { row in
        low.withUnsafeMutableBytes { packer.pack(codes, into: row, lowBits: $0) }
      }
    }
    return (row, low)
  }

  private func pack(_ codes: [Int16], _ packer: any CodePacker) -> [UInt8] {
    packed(codes, packer).row
  }

  @Test(arguments: packers.indices, 0..<20)
  func rowsRoundTrip(index: Int, count: Int) {
    let packer = Self.packers[index]
    let codes = codes(count, bits: packer.bits)
    let (row, low) = packed(codes, packer)
    let lowBits = packer.lowRowBytes(1) == nil ? 0 : packer.bits - 4
    #expect(row.count == (count * (packer.bits - lowBits) + 7) / 8)
    #expect(low.count == (count * lowBits + 7) / 8)
    func reading(_ body: (CodeRow) -> Void) {
      row.withUnsafeBytes { row in
        low.withUnsafeBytes { low in
          if let row = row.baseAddress { body(CodeRow(codes: row, lowBits: low.baseAddress)) }
        }
      }
    }
    for first in 0..<count {
      for end in first...count {
        let found = [Int16](unsafeUninitializedCapacity: end - first) { target, used in
          reading { row in
            if let target = target.baseAddress {
              packer.unpack(row, columns: first..<end, into: target)
            }
          }
          used = end - first
        }
        #expect(found == Array(codes[first..<end]))
        let widened = [Float](unsafeUninitializedCapacity: end - first) { target, used in
          reading { row in
            if let target = target.baseAddress {
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
    // The low bits of 5 and 6 are apart: 15 is 7 and 1, -16 is -8 and 0, -1 is -1 and 1.
    let five = packed([15, -16, -1], try packer(bits: 5))
    #expect(five.row == [0x87, 0x0f] && five.low == [0b101])
    let six = packed([31, -32, -1, 2, 1], try packer(bits: 6))
    #expect(six.row == [0x87, 0x0f, 0x00] && six.low == [0b10_11_00_11, 0b01])
    // Words have an offset of 128, so that the high bytes of small codes are 0.
    #expect(
      pack([0, -128, 127, 128, -129, 32767, -32768], try packer(bits: 16)) == [
        128, 0, 0, 0, 255, 0, 0, 1, 255, 255, 127, 128, 128, 128,
      ])
  }

  @Test func sizesOfLongRowsDoNotOverflow() throws {
    #expect(try packer(bits: 8).rowBytes(.max) == .max)
    #expect(try packer(bits: 4).rowBytes(.max) == Int.max / 2 + 1)
    for packer in CodePackers.all {
      #expect(packer.rowBytes(.max) > Int.max / 16)
      #expect(packer.lowRowBytes(.max) ?? .max > Int.max / 16)
    }
  }

  @Test func widthsAreDistinct() {
    let widths = CodePackers.all.map(\.bits)
    #expect(Set(widths).count == widths.count)
    #expect(widths.allSatisfy { 1...16 ~= $0 })
  }

  @Test func tensorsArePackedRowByRow() {
    let codes: [Int16] = [7, -8, 1, -1, 2, 3]
    func packed(_ encoding: TensorEncoding, _ codes: [Int16], _ shape: Shape) -> [[UInt8]] {
      encoding.packed(codes, for: shape).map(\.array)
    }
    #expect(packed(.int8, codes, [2, 3]) == [[7, 0xf8, 1, 0xff, 2, 3]])
    let int4 = TensorEncoding.symmetric(bits: 4, groupSize: 32)
    #expect(packed(int4, codes, [2, 3]) == [[0x87, 0x01, 0x2f, 0x03]])
    #expect(packed(int4, [], [0, 3]) == [[]])
    #expect(packed(int4, [], [3, 0]) == [[]])
    let int5 = TensorEncoding.symmetric(bits: 5, groupSize: nil)
    #expect(packed(int5, codes, [2, 3]) == [[0xc3, 0x00, 0x1f, 0x01], [0b101, 0b101]])
    #expect(packed(int5, [], [3, 0]) == [[], []])
  }

  @Test func codesOfARowAreUnpacked() {
    for (encoding, bytes) in [
      (TensorEncoding.int8, [7, 0xf8, 1, 0xff, 2, 3] as [UInt8]),
      (.symmetric(bits: 4, groupSize: nil), [0x87, 0x01, 0x2f, 0x03]),
      (.symmetric(bits: 5, groupSize: nil), [0xc3, 0x00, 0x1f, 0x01]),
    ] {
      let low = encoding.numberWidths.count == 3 ? [ByteSlice([0b101, 0b101] as [UInt8])] : []
      let tensor = StoredTensor(
        shape: [2, 3], encoding: encoding,
        parts: [ByteSlice(bytes)] + low + [ByteSlice([1, 1] as [Float])])
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
