package import Tensors

/// Integer codes with a float16 scale for each group of consecutive weights of a row.
///
/// The least code is not used (int4 codes lie in -7...7), so that the grid is symmetric and zero is
/// exact.
package struct GroupScheme: IntegerScheme {
  package let encoding: TensorEncoding
  package let aliases: [String]
  package let summary: String
  private let bits: Int
  private let groupSize: Int

  package static let all: [any Scheme] = [
    GroupScheme(bits: 8, groupSize: 32, aliases: ["q8_0", "q8"]),
    GroupScheme(bits: 8, groupSize: 64),
    GroupScheme(bits: 8, groupSize: 128),
    GroupScheme(bits: 4, groupSize: 32, aliases: ["q4_0", "q4", "int4"]),
    GroupScheme(bits: 4, groupSize: 64),
  ]

  init(bits: Int, groupSize: Int, aliases: [String] = []) {
    self.bits = bits
    self.groupSize = groupSize
    self.aliases = aliases
    encoding = .symmetric(bits: bits, groupSize: groupSize)
    let rate = Double(bits) + 16 / Double(groupSize)
    summary =
      "int\(bits) with a scale for every \(groupSize) weights of a row, \(rate) bits a weight"
  }

  package var grid: QuantizationGrid {
    QuantizationGrid(largestCode: (1 << (bits - 1)) - 1, groupSize: groupSize, scaleKind: .f16)
  }

  package func stored(
    _ rounded: RoundedWeights, shape: Shape
  ) throws(SchemeError) -> StoredTensor {
    if let scale = rounded.scales.max(), scale > 65504 { throw .scaleOverflowsHalf(scale) }
    let codes = encoding.packed(rounded.codes, for: shape)
    let scales = StoredTensor(shape: [rounded.scales.count], floats: rounded.scales, as: .f16)
    return StoredTensor(shape: shape, encoding: encoding, parts: [codes] + scales.parts)
  }
}
