package import Tensors

/// Symmetric integer codes with scales: a float32 scale for each output channel, which integer
/// matrix products use, or a float16 scale for each group of consecutive weights of a row.
///
/// The least code is not used (int4 codes lie in -7...7), so that the grid is symmetric and zero is
/// exact.
package struct SymmetricScheme: IntegerScheme {
  package let encoding: TensorEncoding
  package let aliases: [String]
  package let grid: QuantizationGrid

  /// Int8 codes with a scale for each output channel.
  static let int8 = SymmetricScheme(bits: 8, groupSize: nil, aliases: ["i8"])

  /// Codes of 5 bits in the groups of ggml's Q5_0.
  static let q50 = SymmetricScheme(bits: 5, groupSize: 32, aliases: ["q5_0", "q5"])
  /// Codes of 8 bits in the groups of ggml's Q8_0.
  static let q80 = SymmetricScheme(bits: 8, groupSize: 32, aliases: ["q8_0", "q8"])

  package static let all: [any Scheme] = [
    SymmetricScheme(bits: 16, groupSize: nil, aliases: ["i16"]),
    int8,
    q80,
    SymmetricScheme(bits: 8, groupSize: 64),
    SymmetricScheme(bits: 8, groupSize: 128),
    SymmetricScheme(bits: 6, groupSize: nil),
    SymmetricScheme(bits: 5, groupSize: nil),
    q50,
    SymmetricScheme(bits: 4, groupSize: 32, aliases: ["q4_0", "q4", "int4"]),
    SymmetricScheme(bits: 4, groupSize: 64),
  ]

  /// - Parameter groupSize: the weights that share a scale; `nil` for a scale per output channel.
  init(bits: Int, groupSize: Int?, aliases: [String] = []) {
    let format = CodeFormat.symmetric(bits: bits, groupSize: groupSize)
    encoding = .codes(format)
    grid = QuantizationGrid(format)
    self.aliases = aliases
  }

  package func stored(
    _ rounded: RoundedWeights, shape: Shape
  ) throws(SchemeError) -> StoredTensor {
    if grid.scaleKind == .f16, let scale = rounded.scales.max(), scale > 65504 {
      throw .scaleOverflowsHalf(scale)
    }
    let codes = encoding.packed(rounded.codes, for: shape)
    let scales = StoredTensor(
      shape: [rounded.scales.count], floats: rounded.scales, as: grid.scaleKind)
    return StoredTensor(shape: shape, encoding: encoding, parts: codes + scales.parts)
  }
}
