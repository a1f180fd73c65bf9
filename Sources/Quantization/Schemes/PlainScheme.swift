package import Tensors

/// Weights as floating-point numbers, rounded to nearest even.
package struct PlainScheme: Scheme {
  package let encoding: TensorEncoding
  package let aliases: [String]
  private let kind: ElementKind

  static let single = PlainScheme(.f32, ["float32", "fp32"])
  /// Refuses weights beyond 65504.
  static let half = PlainScheme(.f16, ["float16", "fp16", "half"])

  package static let all: [any Scheme] = schemes

  private static let schemes = [single, half, PlainScheme(.bf16, ["bfloat16"])]

  init(_ kind: ElementKind, _ aliases: [String]) {
    self.kind = kind
    self.aliases = aliases
    encoding = .plain(kind)
  }

  /// Converts the element kind. Infinities and NaNs stay: the reader of the weights decides whether
  /// they are allowed.
  package func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?
  ) throws(SchemeError) -> EncodedTensor {
    let tensor = try rounded(weights)
    let figures =
      weights.encoding == encoding
      ? RoundingFigures(sqnr: .infinity, plainSQNR: .infinity)
      : RoundingFigures(of: tensor, reference: weights, statistics: nil)
    return EncodedTensor(tensor: tensor, figures: figures)
  }

  /// Converts `weights` to ``encoding`` without measuring the error.
  func rounded(_ weights: StoredTensor) throws(SchemeError) -> StoredTensor {
    if kind == .f32 { return weights.converted(to: kind) }
    do { return try weights.narrowed(to: kind) } catch {
      switch error {
      case .nonfinite: return weights.converted(to: kind)
      case .overflows(let limit): throw .overflows(limit: limit)
      }
    }
  }

  /// The names of the schemes that store larger magnitudes than `limit`, the smallest first.
  static func names(storingMoreThan limit: Float) -> [String] {
    schemes.filter { $0.kind.largestMagnitude > limit }
      .sorted { $0.kind.largestMagnitude < $1.kind.largestMagnitude }.map(\.name)
  }
}
