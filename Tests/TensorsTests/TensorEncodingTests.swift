import Tensors
import Testing

struct TensorEncodingTests {
  static let named: [(String, TensorEncoding)] = [
    ("f32", .plain(.f32)), ("bf16", .plain(.bf16)), ("f8_e4m3", .plain(.f8e4m3)),
    ("bool", .plain(.bool)), ("int8", .int8), ("int4", .symmetric(bits: 4, groupSize: nil)),
    ("int8-g64", .symmetric(bits: 8, groupSize: 64)),
    ("int4-g32", .symmetric(bits: 4, groupSize: 32)), ("fp8", .float8),
    ("int8-convrot", .codes(.rotatedInt8)), ("int16", .symmetric(bits: 16, groupSize: nil)),
    ("int6", .symmetric(bits: 6, groupSize: nil)), ("int5-g32", .symmetric(bits: 5, groupSize: 32)),
    ("q4_k", .codes(.kQuant(bits: 4))), ("q5_k", .codes(.kQuant(bits: 5))), ("q6_k", .codes(.q6K)),
  ]

  @Test(arguments: named)
  func namesRoundTrip(name: String, encoding: TensorEncoding) {
    #expect(encoding.name == name)
    #expect(TensorEncoding(name: name) == encoding)
  }

  @Test(arguments: [
    "", "F32", "f33", "int3", "int32", "int8-", "int8-g", "int8-g0", "int8-g-1", "int8-g064",
    "int8-g64-g64", "int8-64", "Int8", "int8-g9223372036854775808", "FP8", "fp16", "int8-convrot64",
    "int4-convrot", "q3_k", "q4_K", "q4_k_m", "q8_0",
  ])
  func unknownNamesAreRefused(name: String) {
    #expect(TensorEncoding(name: name) == nil)
  }

  @Test(
    arguments: [
      (.plain(.f16), [2, 3], [12]), (.plain(.f4), [3], nil), (.plain(.f32), [], [4]),
      (.plain(.f32), [0, 3], [0]),
      (.int8, [2, 3], [6, 8]), (.int8, [2, 3, 1, 1], [6, 8]), (.int8, [5], [5, 20]),
      (.int8, [0, 3], [0, 0]), (.int8, [3, 0], [0, 0]),
      (.symmetric(bits: 4, groupSize: nil), [2, 3], [4, 8]),
      (.symmetric(bits: 4, groupSize: nil), [2, 4], [4, 8]),
      (.symmetric(bits: 8, groupSize: 2), [2, 3], [6, 8]),
      (.symmetric(bits: 8, groupSize: 3), [2, 3], [6, 4]),
      (.symmetric(bits: 8, groupSize: 64), [2, 3], [6, 4]),
      (.symmetric(bits: 4, groupSize: 32), [3, 65], [99, 18]),
      (.symmetric(bits: 8, groupSize: 0), [2, 3], nil),
      (.symmetric(bits: 5, groupSize: nil), [2, 3], [4, 2, 8]),
      (.symmetric(bits: 6, groupSize: nil), [2, 5], [6, 4, 8]),
      (.symmetric(bits: 5, groupSize: 32), [2, 65], [66, 18, 12]),
      (.symmetric(bits: 6, groupSize: nil), [0, 3], [0, 0, 0]),
      (.symmetric(bits: 16, groupSize: nil), [2, 3], [12, 8]),
      (.symmetric(bits: 16, groupSize: nil), [1, Int.max], [Int.max, 4]),
      (.symmetric(bits: 3, groupSize: nil), [2, 3], nil),
      (.codes(.kQuant(bits: 4)), [2, 512], [512, 8, 32, 8, 32]),
      (.codes(.kQuant(bits: 5)), [1, 256], [128, 32, 2, 8, 2, 8]),
      (.codes(.q6K), [2, 256], [256, 128, 4, 32]), (.codes(.q6K), [2, 320], nil),
      (.codes(.q6K), [256], nil), (.codes(.kQuant(bits: 4)), [0, 256], [0, 0, 0, 0, 0]),
      (.float8, [2, 3], [6, 4]), (.float8, [], [1, 4]), (.float8, [0, 3], [0, 4]),
      (.codes(.rotatedInt8), [2, 16], [32, 8]), (.codes(.rotatedInt8), [2, 24], nil),
      (.codes(.rotatedInt8), [2, 16, 3, 3], [288, 8]),
      (.plain(.f32), [Int.max], nil),
      (.int8, [Int.max], nil),
      (.symmetric(bits: 4, groupSize: nil), [1, Int.max], [Int.max / 2 + 1, 4]),
    ] as [(TensorEncoding, [Int], [Int]?)])
  func sizesOfParts(encoding: TensorEncoding, extents: [Int], sizes: [Int]?) {
    #expect(encoding.partSizes(for: Shape(extents)) == sizes)
  }

  @Test func bytesOfAllPartsAreCountedWithoutOverflow() {
    #expect(TensorEncoding.int8.byteCount(for: [2, 3]) == 14)
    #expect(TensorEncoding.int8.byteCount(for: [1, Int.max - 2]) == nil)
    #expect(TensorEncoding.plain(.f4).byteCount(for: [3]) == nil)
    #expect(TensorEntry(shape: [2, 3], encoding: .int8).byteCount == 14)
    #expect(TensorEntry(shape: [3], encoding: .plain(.f4)).byteCount == 0)
  }

  @Test(arguments: [(nil, 1), (1, 7), (3, 3), (7, 1), (8, 1)] as [(Int?, Int)])
  func groupsOfARow(groupSize: Int?, groups: Int) {
    let encoding = TensorEncoding.symmetric(bits: 8, groupSize: groupSize)
    let width = groupSize == nil ? 4 : 2
    #expect(encoding.partSizes(for: [2, 7]) == [14, 2 * groups * width])
    #expect(encoding.partSizes(for: [2, 0]) == [0, 0])
  }

  @Test func partsAndScalesHaveTheirKinds() {
    #expect(TensorEncoding.plain(.f16).partNames == ["data"])
    #expect(TensorEncoding.int8.partNames == ["codes", "scales"])
    #expect(TensorEncoding.plain(.f16).numberWidths == [2])
    #expect(TensorEncoding.int8.numberWidths == [1, 4])
    #expect(TensorEncoding.symmetric(bits: 4, groupSize: 32).numberWidths == [1, 2])
    #expect(TensorEncoding.symmetric(bits: 16, groupSize: nil).numberWidths == [2, 4])
    let five = TensorEncoding.symmetric(bits: 5, groupSize: nil)
    #expect(five.partNames == ["codes", "low_bits", "scales"] && five.numberWidths == [1, 1, 4])
    let blocks = TensorEncoding.codes(.kQuant(bits: 5))
    #expect(
      blocks.partNames == [
        "codes", "low_bits", "scales", "group_scales", "minimums", "group_minimums",
      ])
    #expect(blocks.numberWidths == [1, 1, 2, 1, 2, 1])
    #expect(TensorEncoding.int8.isQuantized)
    #expect(!TensorEncoding.plain(.i8).isQuantized)
    #expect(TensorEncoding.float8.partNames == ["codes", "scale"])
    #expect(TensorEncoding.float8.numberWidths == [1, 4])
    #expect(TensorEncoding.float8.isQuantized && TensorEncoding.float8.codeFormat == nil)
    #expect(TensorEncoding.codes(.rotatedInt8).partNames == ["codes", "scales"])
  }
}
