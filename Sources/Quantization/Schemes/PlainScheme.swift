internal import Kernels
package import Tensors

/// Weights as floating-point numbers, rounded to nearest even.
package struct PlainScheme: Scheme {
  package let encoding: TensorEncoding
  package let summary: String
  private let kind: ElementKind

  package static let all: [any Scheme] = [
    PlainScheme(.f32, "float32, 4 bytes a weight"),
    PlainScheme(.f16, "float16, 2 bytes a weight; refuses weights beyond 65504"),
    PlainScheme(.bf16, "bfloat16, 2 bytes a weight; the range of float32 with 8 bits of precision"),
  ]

  init(_ kind: ElementKind, _ summary: String) {
    self.kind = kind
    self.summary = summary
    encoding = .plain(kind)
  }

  /// Infinities and NaNs that the weights hold are kept: whether they may be there is decided
  /// where they are read.
  package func encode(
    _ weights: StoredTensor, method: RoundingMethod, meanSquares: [Float]?
  ) throws(SchemeError) -> EncodedTensor {
    let tensor = try rounded(weights)
    let isUnchanged = weights.encoding == encoding
    let measures =
      isUnchanged ? ErrorMeasures() : ErrorMeasures(reference: weights, candidate: tensor)
    return EncodedTensor(
      tensor: tensor,
      figures: RoundingFigures(
        sqnr: measures.sqnr, weightedSQNR: nil, plainSQNR: measures.sqnr, plainWeightedSQNR: nil,
        clip: nil))
  }

  /// `weights` in ``encoding``, with nothing measured.
  func rounded(_ weights: StoredTensor) throws(SchemeError) -> StoredTensor {
    let tensor = weights.converted(to: kind)
    if kind != .f32, tensor.hasNonfinite, !weights.hasNonfinite { throw .overflowsHalf }
    return tensor
  }
}
