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

  /// Converts the element kind. Infinities and NaNs stay: the reader of the weights decides whether
  /// they are allowed.
  package func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?
  ) throws(SchemeError) -> EncodedTensor {
    let tensor = try rounded(weights)
    let isUnchanged = weights.encoding == encoding
    let measures =
      isUnchanged ? ErrorMeasures() : ErrorMeasures(reference: weights, candidate: tensor)
    return EncodedTensor(
      tensor: tensor,
      figures: RoundingFigures(sqnr: measures.sqnr, plainSQNR: measures.sqnr))
  }

  /// Converts `weights` to ``encoding`` without measuring the error.
  func rounded(_ weights: StoredTensor) throws(SchemeError) -> StoredTensor {
    let tensor = weights.converted(to: kind)
    if kind != .f32, tensor.hasNonfinite, !weights.hasNonfinite { throw .overflowsHalf }
    return tensor
  }
}
