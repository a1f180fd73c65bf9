package import Tensors

/// Int8 or int4 codes with a float16 scale for each group of consecutive weights of a row.
///
/// Int4 codes lie in -7...7, so that the grid is symmetric and zero is exact.
package struct GroupScheme: IntegerScheme {
  package let encoding: TensorEncoding
  package let summary: String
  private let bits: Int
  private let groupSize: Int

  package static let all: [any Scheme] = [
    GroupScheme(bits: 8, groupSize: 32),
    GroupScheme(bits: 8, groupSize: 64),
    GroupScheme(bits: 8, groupSize: 128),
    GroupScheme(bits: 4, groupSize: 32),
    GroupScheme(bits: 4, groupSize: 64),
  ]

  init(bits: Int, groupSize: Int) {
    self.bits = bits
    self.groupSize = groupSize
    encoding = .symmetric(bits: bits, groupSize: groupSize)
    let rate = Double(bits) + 16 / Double(groupSize)
    summary =
      "int\(bits) with a scale for every \(groupSize) weights of a row, \(rate) bits a weight"
  }

  /// Modules that make most of the noise at 4 bits but hold few of the weights.
  ///
  /// MixDQ's measurements of every layer of SDXL-Turbo (arXiv 2405.17873) agree with the skip lists
  /// of published 4-bit U-Nets.
  package var exceptions: [SchemeException] {
    guard bits < 8 else { return [] }
    return [
      "*.conv_shortcut", "*.time_emb_proj", "*.downsamplers", "*.upsamplers", "*.proj_in",
      "*.proj_out", "down_blocks.0.resnets.0",
    ].map {
      SchemeException(
        pattern: ModulePattern($0), scheme: RowScheme(), reason: "too sensitive for \(bits) bits")
    }
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
