import Support
import Tensors
import Testing

/// A plain vector whose bytes are those of `elements` in memory.
private func plain<Element: BitwiseCopyable>(
  _ kind: ElementKind, _ elements: [Element]
) -> StoredTensor {
  let bytes = elements.withUnsafeBytes { [UInt8]($0) }
  return StoredTensor(
    shape: [elements.count], encoding: .plain(kind), parts: [ByteSlice(bytes)])
}

/// Equality of bits, which distinguishes signed zeros. All NaNs are equal.
private func sameBits(_ left: [Float], _ right: [Float]) -> Bool {
  left.map { $0.isNaN ? 0x7fc0_0000 : $0.bitPattern }
    == right.map { $0.isNaN ? 0x7fc0_0000 : $0.bitPattern }
}

struct WideningTests {
  /// Every half float, compared with Swift's conversion. The run is long enough for SIMD.
  @Test func everyHalf() {
    let codes = (0...UInt16.max).map(\.self)
    let expected = codes.map { Float(Float16(bitPattern: $0)) }
    #expect(sameBits(plain(.f16, codes).floats(), expected))
  }

  @Test(arguments: 0..<20)
  func halvesOfEveryShortLength(count: Int) {
    let codes = (0..<count).map { UInt16($0 * 3001) }
    #expect(
      sameBits(plain(.f16, codes).floats(), codes.map { Float(Float16(bitPattern: $0)) }))
  }

  @Test func everyBrainFloat() {
    let codes = (0...UInt16.max).map(\.self)
    let expected = codes.map { Float(bitPattern: UInt32($0) << 16) }
    #expect(sameBits(plain(.bf16, codes).floats(), expected))
  }

  /// Numbers at an odd address, as in a file with a tensor of an odd size before them.
  @Test(arguments: [ElementKind.f16, .bf16, .f32, .f64, .i32])
  func unalignedNumbers(kind: ElementKind) {
    let width = kind.bitWidth / 8
    let bytes = (0..<width * 5 + 1).map { UInt8($0 * 7 & 0x3f) }
    let shifted = ByteSlice(bytes)[1..<bytes.count]
    let odd = StoredTensor(shape: [5], encoding: .plain(kind), parts: [shifted])
    let even = StoredTensor(
      shape: [5], encoding: .plain(kind), parts: [ByteSlice(Array(bytes[1...]))])
    #expect(odd.floats() == even.floats())
    #expect(odd.floats() != [0, 0, 0, 0, 0])
  }

  /// Known codes from the tables of the OCP FP8 specification.
  @Test(
    arguments: [
      (ElementKind.f8e4m3, 0x00, 0), (.f8e4m3, 0x01, 0x1p-9), (.f8e4m3, 0x07, 7 * 0x1p-9),
      (.f8e4m3, 0x08, 0x1p-6), (.f8e4m3, 0x38, 1), (.f8e4m3, 0x7e, 448), (.f8e4m3, 0xb8, -1),
      (.f8e4m3, 0x7f, .nan), (.f8e4m3, 0xff, .nan),
      (.f8e5m2, 0x01, 0x1p-16), (.f8e5m2, 0x04, 0x1p-14), (.f8e5m2, 0x3c, 1),
      (.f8e5m2, 0x7b, 57344),
      (.f8e5m2, 0x7c, .infinity), (.f8e5m2, 0xfc, -.infinity), (.f8e5m2, 0x7d, .nan),
      (.f8e8m0, 0x00, 0x1p-127), (.f8e8m0, 0x7f, 1), (.f8e8m0, 0xfe, 0x1p127),
      (.f8e8m0, 0xff, .nan),
      (.f8e4m3fnuz, 0x01, 0x1p-10), (.f8e4m3fnuz, 0x08, 0x1p-7), (.f8e4m3fnuz, 0x40, 1),
      (.f8e4m3fnuz, 0x7f, 240), (.f8e4m3fnuz, 0xff, -240), (.f8e4m3fnuz, 0x80, .nan),
      (.f8e5m2fnuz, 0x01, 0x1p-17), (.f8e5m2fnuz, 0x40, 1), (.f8e5m2fnuz, 0x7f, 57344),
      (.f8e5m2fnuz, 0x80, .nan),
    ] as [(ElementKind, UInt8, Float)])
  func eightBitFloats(kind: ElementKind, code: UInt8, value: Float) {
    #expect(sameBits(plain(kind, [code]).floats(), [value]))
  }

  @Test func negativeZerosOfEightBitFloats() {
    #expect(sameBits(plain(.f8e4m3, [UInt8(0x80)]).floats(), [-0.0]))
    #expect(sameBits(plain(.f8e5m2, [UInt8(0x80)]).floats(), [-0.0]))
  }

  @Test func wideKinds() {
    let values: [Float] = [
      0, -0.0, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .infinity, .nan,
    ]
    #expect(sameBits(plain(.f32, values).floats(), values))
    #expect(
      sameBits(plain(.f64, [0.1, 1e300, -1e-300, 3]).floats(), [0.1, .infinity, -0.0, 3]))
  }

  @Test func integers() {
    #expect(plain(.bool, [UInt8(0), 1, 2, 255]).floats() == [0, 1, 1, 1])
    #expect(plain(.u8, [UInt8(0), 255]).floats() == [0, 255])
    #expect(plain(.i8, [Int8(-128), 127]).floats() == [-128, 127])
    #expect(plain(.u16, [UInt16.max]).floats() == [65535])
    #expect(plain(.i16, [Int16.min]).floats() == [-32768])
    #expect(plain(.u32, [UInt32.max, 16_777_217]).floats() == [0x1p32, 16_777_216])
    #expect(plain(.i32, [Int32.min]).floats() == [-0x1p31])
    #expect(plain(.u64, [UInt64.max]).floats() == [0x1p64])
    #expect(plain(.i64, [Int64.min, 7]).floats() == [-0x1p63, 7])
  }

  /// Their tensors can be copied but not computed with.
  @Test(arguments: ElementKind.allCases.filter { !$0.isWidenable })
  func kindsThatCannotBeWidenedAreHeld(kind: ElementKind) {
    let bytes = [UInt8](repeating: 0xff, count: kind.bitWidth)
    let tensor = StoredTensor(shape: [8], encoding: .plain(kind), parts: [ByteSlice(bytes)])
    #expect(tensor.byteCount == kind.bitWidth)
    #expect(!tensor.hasNonfinite)
  }

  @Test func wideningSuchAKindTraps() async {
    await #expect(processExitsWith: .failure) {
      _ = StoredTensor(
        shape: [1], encoding: .plain(.c64), parts: [ByteSlice([UInt8](repeating: 0, count: 8))]
      ).floats()
    }
  }

  @Test func aRunOfRows() {
    let tensor = StoredTensor(shape: [4, 3], floats: (0..<12).map(Float.init))
    var target = [Float](repeating: -1, count: 8)
    var span = target.mutableSpan
    tensor.widen(rows: 1..<3, into: &span)
    #expect(target == [3, 4, 5, 6, 7, 8, -1, -1])
  }

  /// A tile of a matrix has the same numbers as that part of the whole matrix, in every encoding.
  @Test(arguments: [
    TensorEncoding.plain(.f32), .plain(.f16), .plain(.i16), .int8,
    .symmetric(bits: 8, groupSize: 3), .symmetric(bits: 4, groupSize: nil),
    .symmetric(bits: 4, groupSize: 5),
  ])
  func tilesOfAMatrix(encoding: TensorEncoding) throws {
    let shape: Shape = [5, 13]
    let parts = try #require(encoding.partSizes(for: shape)).map { size in
      ByteSlice((0..<size).map { UInt8($0 * 37 & 0x3b) })
    }
    let tensor = StoredTensor(shape: shape, encoding: encoding, parts: parts)
    let whole = tensor.floats()
    for columns in [0..<13, 0..<1, 3..<8, 4..<13, 12..<13, 6..<6] {
      let expected = (1..<4).flatMap { row in columns.map { whole[row * 13 + $0] } }
      var target = [Float](repeating: -1, count: expected.count + 1)
      var span = target.mutableSpan
      tensor.widen(rows: 1..<4, columns: columns, into: &span)
      #expect(target == expected + [-1])
    }
  }

  @Test func rowsBeyondTheTensorTrap() async {
    await #expect(processExitsWith: .failure) {
      var target = [Float](repeating: 0, count: 8)
      var span = target.mutableSpan
      StoredTensor(shape: [2, 2], floats: [1, 2, 3, 4]).widen(rows: 1..<3, into: &span)
    }
  }

  @Test func tensorsWithoutElements() {
    for kind in [ElementKind.f32, .f16, .i64] {
      for shape in [[0], [0, 3], [3, 0]] as [Shape] {
        let tensor = StoredTensor(
          shape: shape, encoding: .plain(kind), parts: [ByteSlice([UInt8]())])
        #expect(tensor.floats() == [])
        #expect(!tensor.hasNonfinite)
      }
    }
    #expect(
      StoredTensor(
        shape: [3, 0], encoding: .int8, parts: [ByteSlice([Int8]()), ByteSlice([Float]())]
      ).floats() == [])
  }

  @Test func scalars() {
    #expect(StoredTensor(shape: [], floats: [2.5]).widened() == Tensor(shape: [], values: [2.5]))
  }
}

struct QuantizedWideningTests {
  @Test func int8WithAScalePerRow() {
    let tensor = StoredTensor(
      shape: [2, 3], encoding: .int8,
      parts: [ByteSlice([1, -2, 127, -128, 0, 3] as [Int8]), ByteSlice([0.5, 2] as [Float])])
    #expect(tensor.floats() == [0.5, -1, 63.5, -256, 0, 6])
  }

  /// Groups of 4 in rows of 6: the second group has 2 codes.
  @Test func int8InGroups() {
    let codes: [Int8] = [1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6]
    let scales = [1, 10, 0.5, 2].map { Float16($0).bitPattern }
    let tensor = StoredTensor(
      shape: [2, 6], encoding: .symmetric(bits: 8, groupSize: 4),
      parts: [ByteSlice(codes), ByteSlice(scales)])
    #expect(tensor.floats() == [1, 2, 3, 4, 50, 60, -0.5, -1, -1.5, -2, -10, -12])
    var target = [Float](repeating: 0, count: 6)
    var span = target.mutableSpan
    tensor.widen(rows: 1..<2, into: &span)
    #expect(target == [-0.5, -1, -1.5, -2, -10, -12])
  }

  /// The low nibble first; rows of odd length end with a zero nibble.
  @Test func int4() {
    let tensor = StoredTensor(
      shape: [2, 3], encoding: .symmetric(bits: 4, groupSize: nil),
      parts: [ByteSlice([0x87, 0x01, 0xf9, 0x00] as [UInt8]), ByteSlice([1, 2] as [Float])])
    #expect(tensor.floats() == [7, -8, 1, -14, -2, 0])
  }

  @Test(arguments: 1..<12)
  func int4InGroupsOfEverySize(groupSize: Int) {
    let length = 11
    let encoding = TensorEncoding.symmetric(bits: 4, groupSize: groupSize)
    let groups = (length + groupSize - 1) / groupSize
    let codes = (0..<3 * length).map { $0 * 5 % 16 - 8 }
    let scales = (0..<3 * groups).map { Float16(0.25 * Double($0 + 1)) }
    var bytes: [UInt8] = []
    for row in 0..<3 {
      let nibbles = codes[row * length..<(row + 1) * length].map { UInt8($0 & 15) } + [0]
      for pair in stride(from: 0, to: length, by: 2) {
        bytes.append(nibbles[pair] | nibbles[pair + 1] << 4)
      }
    }
    let tensor = StoredTensor(
      shape: [3, length], encoding: encoding,
      parts: [ByteSlice(bytes), ByteSlice(scales.map(\.bitPattern))])
    let expected = (0..<3 * length).map { index in
      Float(codes[index])
        * Float(scales[index / length * groups + index % length / groupSize])
    }
    #expect(tensor.floats() == expected)
  }

  @Test func partsOfWrongSizesTrap() async {
    await #expect(processExitsWith: .failure) {
      _ = StoredTensor(
        shape: [2, 3], encoding: .int8, parts: [ByteSlice([Int8](repeating: 0, count: 6))])
    }
  }
}
