internal import Kernels
package import Tensors

/// Int8 or int4 codes with a float16 scale for each group of consecutive weights of a row.
///
/// Int4 codes are kept in [-7, 7] so that the grid is symmetric and zero is exact.
package struct GroupScheme: Scheme {
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
    summary = "int\(bits) with a scale for \(groupSize) weights of a row, \(rate) bits a weight"
  }

  /// At 4 bits a few modules make most of the noise, while they hold few of the weights: MixDQ's
  /// measurements of every layer of SDXL-Turbo (arXiv 2405.17873) and the skip lists of the
  /// published 4-bit U-Nets agree on these.
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

  package func encode(
    _ weights: StoredTensor, method: RoundingMethod, meanSquares: [Float]?
  ) throws(SchemeError) -> EncodedTensor {
    if weights.hasNonfinite { throw .nonfinite }
    let search = ScaleSearch(
      limit: (1 << (bits - 1)) - 1, groupSize: groupSize, halfScales: true, ratios: method.ratios)
    let result = symmetricCodes(of: weights, meanSquares: meanSquares, search: search)
    if let scale = result.scales.max(), scale > 65504 { throw .scaleOverflowsHalf(scale) }
    let codes = encoding.packed(result.codes, for: weights.shape)
    let scales = StoredTensor(shape: [result.scales.count], floats: result.scales, as: .f16)
    return EncodedTensor(
      tensor: StoredTensor(
        shape: weights.shape, encoding: encoding, parts: [codes] + scales.parts),
      figures: RoundingFigures(result, isCalibrated: meanSquares != nil))
  }
}
