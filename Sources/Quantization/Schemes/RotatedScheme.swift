internal import Support
package import Tensors

/// Int8 codes of rotated weights with a float32 scale for each output channel (ConvRot). The
/// rotation spreads the outliers of a row over their group, so that scales are smaller.
package struct RotatedScheme: Scheme {
  package let encoding = TensorEncoding.codes(.rotatedInt8)
  package let aliases = ["convrot"]

  package static let all: [any Scheme] = [RotatedScheme()]

  /// Statistics of input channels do not apply to rotated weights, so scales are chosen without.
  ///
  /// - Precondition: rows have groups; see ``CodeFormat/rotationSize(for:)``.
  package func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?
  ) throws(SchemeError) -> EncodedTensor {
    if weights.hasNonfinite { throw .nonfinite }
    guard let rotated = weights.rotated() else {
      preconditionFailure("\(name) for rows of \(weights.shape)")
    }
    let rows = try SymmetricScheme.int8.encode(rotated, method: method, statistics: nil)
    let tensor = StoredTensor(
      shape: weights.shape, encoding: encoding, parts: rows.tensor.parts)
    // A rotation keeps lengths, so the errors of rotated weights are those of the weights.
    return EncodedTensor(tensor: tensor, figures: rows.figures)
  }
}
