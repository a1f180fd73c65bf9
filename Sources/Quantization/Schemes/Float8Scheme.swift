package import Tensors

/// Float8 codes with a scale for the whole tensor: the layout that ComfyUI and GPUs' float8
/// products use. The scale maps the largest magnitude to 448; rounding methods do not apply.
package struct Float8Scheme: Scheme {
  package let encoding = TensorEncoding.float8
  package let aliases = ["f8", "float8", "float8_e4m3fn", "fp8_e4m3fn", "f8_e4m3"]

  package static let all: [any Scheme] = [Float8Scheme()]

  package func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?
  ) throws(SchemeError) -> EncodedTensor {
    if weights.hasNonfinite { throw .nonfinite }
    let tensor = StoredTensor(scalingToFloat8: weights)
    return EncodedTensor(
      tensor: tensor,
      figures: RoundingFigures(of: tensor, reference: weights, statistics: statistics))
  }
}
