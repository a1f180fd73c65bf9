private import Kernels
package import Tensors

/// ggml's K-quants: blocks of 256 weights with groups whose scales, and minimums in Q4_K and Q5_K, are
/// small integers times a float16 of the block.
///
/// Scales and codes depend on each other, so the scheme chooses both itself: those with the least
/// squared error, each square times the mean square of the weight's input with a calibration.
package struct KQuantScheme: Scheme {
  package let encoding: TensorEncoding
  package let aliases: [String]
  package let fallback: (any Scheme)?
  package var usesMethod: Bool { false }

  private init(
    _ format: CodeFormat, fallback: any Scheme, aliases: [String] = []
  ) {
    encoding = .codes(format)
    self.fallback = fallback
    self.aliases = aliases
  }

  /// As in llama.cpp, rows that are not multiples of 256 get the type with the next more bits. Q5_1,
  /// the one after Q5_K, is not written.
  package static let all: [any Scheme] = [
    KQuantScheme(.q6K, fallback: SymmetricScheme.q80),
    KQuantScheme(
      .kQuant(bits: 5), fallback: SymmetricScheme.q50, aliases: ["q5_k_m", "q5_k_s"]),
    KQuantScheme(
      .kQuant(bits: 4), fallback: SymmetricScheme.q50, aliases: ["q4_k_m", "q4_k_s"]),
  ]

  /// - Precondition: rows are whole blocks.
  package func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?
  ) throws(SchemeError) -> EncodedTensor {
    if weights.hasNonfinite { throw .nonfinite }
    guard let format = encoding.codeFormat, encoding.byteCount(for: weights.shape) != nil else {
      preconditionFailure("\(name) for rows of \(weights.shape)")
    }
    let blocks = kQuantBlocks(
      of: weights, meanSquares: statistics?.meanSquares, as: format)
    if blocks.largestScale > 65504 { throw .scaleOverflowsHalf(blocks.largestScale) }
    let tensor = StoredTensor(
      shape: weights.shape, encoding: encoding,
      parts: encoding.packed(blocks.codes, for: weights.shape) + blocks.numbers)
    return EncodedTensor(
      tensor: tensor,
      figures: RoundingFigures(of: tensor, reference: weights, statistics: statistics))
  }
}
