extension CodeFormat {
  /// The weights of a block of ggml's K-quants, which have a float16 scale. A group within it
  /// has a small integer that multiplies it.
  package static let kQuantBlock = 256

  /// Q4_K and Q5_K: `weight = scale * groupScale * code - minimum * groupMinimum`, with codes from 0,
  /// and groups of 32 weights. Group scales and minimums have 6 bits.
  package static func kQuant(bits: Int) -> CodeFormat {
    CodeFormat(
      name: "q\(bits)_k", bits: bits, zeroPoint: -(1 << (bits - 1)),
      scales: [
        Factor(part: "scales", kind: .f16, runLength: kQuantBlock),
        Factor(part: "group_scales", kind: .u8, runLength: 32),
      ],
      minimums: [
        Factor(part: "minimums", kind: .f16, runLength: kQuantBlock),
        Factor(part: "group_minimums", kind: .u8, runLength: 32),
      ], blockLength: kQuantBlock)
  }

  /// Q6_K: `weight = scale * groupScale * code`, with groups of 16 weights and group scales of 8
  /// bits.
  package static let q6K = CodeFormat(
    name: "q6_k", bits: 6,
    scales: [
      Factor(part: "scales", kind: .f16, runLength: kQuantBlock),
      Factor(part: "group_scales", kind: .i8, runLength: 16),
    ], blockLength: kQuantBlock)
}

/// Names of ggml's K-quants: `q4_k`, `q5_k`, `q6_k`.
struct KQuantNaming: CodeNaming {
  func format(named name: String) -> CodeFormat? {
    [.kQuant(bits: 4), .kQuant(bits: 5), .q6K].first { $0.name == name }
  }
}
