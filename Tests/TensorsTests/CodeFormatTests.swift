import Support
import Tensors
import Testing

/// Code formats with a zero point, with minimums, or with a scale that is a product of factors.
struct CodeFormatTests {
  /// Three rows of 11 codes of 4 bits, from -8 to 7.
  private static let shape: Shape = [3, 11]
  private static let codes = (0..<33).map { Int16($0 * 5 % 16 - 8) }

  private func scales(_ kind: ElementKind, _ length: Int?) -> CodeFormat.Factor {
    CodeFormat.Factor(part: "scales", kind: kind, runLength: length)
  }

  private func halves(_ numbers: [Float]) -> ByteSlice {
    ByteSlice(numbers.map { Float16($0).bitPattern })
  }

  @Test func zeroPointsAreSubtractedFromCodes() {
    let format = CodeFormat(
      name: "uint4-g4", bits: 4, zeroPoint: -8, scales: [scales(.f16, 4)])
    let scales = (1...9).map { Float($0) / 4 }
    let encoding = TensorEncoding.codes(format)
    let tensor = StoredTensor(
      shape: Self.shape, encoding: encoding,
      parts: encoding.packed(Self.codes, for: Self.shape) + [halves(scales)])
    let expected = Self.codes.indices.map { index in
      scales[index / 11 * 3 + index % 11 / 4] * Float(Int(Self.codes[index]) + 8)
    }
    #expect(tensor.floats() == expected)
    #expect(encoding.partNames == ["codes", "scales"])
  }

  /// Blocks of 8 weights whose float16 scale and minimum multiply those of groups of 4, as in ggml's
  /// K-quants.
  @Test func minimumsAndBlocksOfGroups() {
    let format = CodeFormat(
      name: "blocks", bits: 4, zeroPoint: -8,
      scales: [
        scales(.u8, 4), CodeFormat.Factor(part: "block scales", kind: .f16, runLength: 8),
      ],
      minimums: [
        CodeFormat.Factor(part: "minimums", kind: .u8, runLength: 4),
        CodeFormat.Factor(part: "block minimums", kind: .f16, runLength: 8),
      ])
    let encoding = TensorEncoding.codes(format)
    #expect(
      encoding.partNames == ["codes", "scales", "block scales", "minimums", "block minimums"])
    #expect(encoding.numberWidths == [1, 1, 2, 1, 2])
    #expect(encoding.partSizes(for: Self.shape) == [18, 9, 12, 9, 12])
    #expect(encoding.isQuantized && encoding.isWidenable && encoding.isFloatingPoint)

    let (groups, least) = ((0..<9).map { UInt8($0 * 7 + 1) }, (0..<9).map { UInt8(63 - $0 * 5) })
    let (blocks, low): ([Float], [Float]) = ([0.5, 2, 1, 0.25, 4, 3], [1, -2, 0.5, 8, 0, 1.5])
    let tensor = StoredTensor(
      shape: Self.shape, encoding: encoding,
      parts: encoding.packed(Self.codes, for: Self.shape)
        + [ByteSlice(groups), halves(blocks), ByteSlice(least), halves(low)])
    let expected = Self.codes.indices.map { index in
      let (row, column) = (index / 11, index % 11)
      let (group, block) = (row * 3 + column / 4, row * 2 + column / 8)
      return blocks[block] * Float(groups[group]) * Float(Int(Self.codes[index]) + 8)
        - low[block] * Float(least[group])
    }
    #expect(tensor.floats() == expected)
    for columns in [0..<11, 3..<9, 4..<8, 10..<11] {
      var found = [Float](repeating: 0, count: columns.count)
      var span = found.mutableSpan
      tensor.widen(rows: 1..<2, columns: columns, into: &span)
      #expect(found == columns.map { expected[11 + $0] })
    }
    #expect(!tensor.hasNonfinite)
    for part in [2, 4] {
      var parts = tensor.parts
      parts[part] = halves([1, 1, .infinity, 1, 1, 1])
      #expect(
        StoredTensor(shape: Self.shape, encoding: encoding, parts: parts).hasNonfinite)
    }
  }

  /// One scale for each row, and a minimum.
  @Test func minimumsOfRows() {
    let format = CodeFormat(
      name: "rows", bits: 8, scales: [scales(.f32, nil)],
      minimums: [CodeFormat.Factor(part: "minimums", kind: .f32, runLength: nil)])
    let encoding = TensorEncoding.codes(format)
    let tensor = StoredTensor(
      shape: [2, 3], encoding: encoding,
      parts: encoding.packed([1, -2, 127, -128, 0, 3], for: [2, 3])
        + [ByteSlice([0.5, 2] as [Float]), ByteSlice([1, -4] as [Float])])
    #expect(tensor.floats() == [-0.5, -2, 62.5, -252, 4, 10])
    #expect(encoding.partSizes(for: [0, 3]) == [0, 0, 0])
    #expect(encoding.partSizes(for: [Int.max / 2]) == nil)
  }
}
