import Tensors
import Testing

struct ElementKindTests {
  /// The names and widths in bits of the format, in its order.
  static let known: [(String, Int)] = [
    ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8), ("F8_E5M2", 8),
    ("F8_E4M3", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("I16", 16),
    ("U16", 16), ("F16", 16), ("BF16", 16), ("I32", 32), ("U32", 32), ("F32", 32), ("C64", 64),
    ("F64", 64), ("I64", 64), ("U64", 64),
  ]

  @Test func allKindsOfTheFormatAreListedInItsOrder() {
    #expect(ElementKind.allCases.map(\.rawValue) == Self.known.map(\.0))
    #expect(ElementKind.allCases.map(\.bitWidth) == Self.known.map(\.1))
  }

  @Test(arguments: ElementKind.allCases)
  func countsBytes(kind: ElementKind) {
    #expect(kind.byteCount(of: 0) == 0)
    #expect(kind.byteCount(of: 8) == kind.bitWidth)
    #expect(kind.byteCount(of: Int.max) == nil)
  }

  @Test(
    arguments: [
      (ElementKind.f4, 1, nil), (.f4, 2, 1), (.f4, 3, nil), (.f6e2m3, 2, nil), (.f6e2m3, 4, 3),
      (.f6e3m2, 6, nil), (.u8, 3, 3), (.f16, 3, 6),
    ] as [(ElementKind, Int, Int?)])
  func countsOnlyWholeBytes(kind: ElementKind, count: Int, bytes: Int?) {
    #expect(kind.byteCount(of: count) == bytes)
  }

  @Test func byteCountsDoNotOverflow() {
    #expect(ElementKind.u8.byteCount(of: Int.max / 8) == Int.max / 8)
    #expect(ElementKind.u8.byteCount(of: Int.max / 8 + 1) == nil)
  }

  @Test func floatingPointAndWidenableKinds() {
    let floating: Set<ElementKind> = [
      .f4, .f6e2m3, .f6e3m2, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz, .f16, .bf16,
      .f32, .c64, .f64,
    ]
    #expect(Set(ElementKind.allCases.filter(\.isFloatingPoint)) == floating)
    let fixed: Set<ElementKind> = [.f4, .f6e2m3, .f6e3m2, .c64]
    #expect(Set(ElementKind.allCases.filter { !$0.isWidenable }) == fixed)
  }
}
