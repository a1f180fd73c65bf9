private import Support
package import Tensors

/// A way of storing weights: `f16`, `int8`, `int4-g32`.
///
/// A scheme is one file that conforms to this protocol or to ``IntegerScheme``, and one line in
/// ``Schemes/all``.
package protocol Scheme: Sendable {
  /// The name that users give and files record. By default that of ``encoding``: `int8`,
  /// `int4-g32`.
  var name: String { get }

  /// Other names of the scheme, in lowercase: those of PyTorch, and of ggml for equal encodings.
  var aliases: [String] { get }

  /// The encoding of the tensors that the scheme makes.
  var encoding: TensorEncoding { get }

  /// The scheme of layers with rows that ``encoding`` cannot hold; `nil` for plain numbers.
  var fallback: (any Scheme)? { get }

  /// Whether a rounding method chooses the codes.
  var usesMethod: Bool { get }

  /// Stores `weights` in ``encoding``.
  ///
  /// - Parameters:
  ///   - method: chooses the codes and scales of integer schemes.
  ///   - statistics: calibration statistics of the layer's input; `nil` without a calibration.
  /// - Throws: ``SchemeError`` for weights that the scheme cannot store.
  func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?
  ) throws(SchemeError) -> EncodedTensor
}

extension Scheme {
  package var name: String { encoding.name }
  package var aliases: [String] { [] }
  package var fallback: (any Scheme)? { nil }
  package var usesMethod: Bool { encoding.codeFormat != nil }
}

/// A scheme of integer codes with scales: it states the grid and how codes and scales are stored.
package protocol IntegerScheme: Scheme {
  /// The codes and scales that the scheme can store.
  var grid: QuantizationGrid { get }

  /// Stores codes and scales of weights of that shape in the scheme's encoding.
  ///
  /// - Throws: ``SchemeError`` for a scale that the scheme cannot store.
  func stored(_ rounded: RoundedWeights, shape: Shape) throws(SchemeError) -> StoredTensor
}

extension IntegerScheme {
  package func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?
  ) throws(SchemeError) -> EncodedTensor {
    if weights.hasNonfinite { throw .nonfinite }
    let rounded = method.round(weights, to: grid, statistics: statistics)
    let tensor = try stored(rounded, shape: weights.shape)
    if let figures = rounded.figures { return EncodedTensor(tensor: tensor, figures: figures) }
    let plain = AbsmaxRounding().round(weights, to: grid, statistics: statistics)
    return EncodedTensor(
      tensor: tensor,
      figures: RoundingFigures(
        of: tensor, reference: weights, plain: plain.figures, statistics: statistics))
  }
}

/// Every scheme, by name.
package enum Schemes {
  package static let all: [any Scheme] =
    PlainScheme.all + SymmetricScheme.all + KQuantScheme.all + Float8Scheme.all + RotatedScheme.all

  /// float32.
  package static let single: any Scheme = PlainScheme.single
  /// float16, the scheme of weights that are not quantized unless another is chosen.
  package static let half: any Scheme = PlainScheme.half
  /// int8 with a scale for each output channel.
  package static let int8: any Scheme = SymmetricScheme.int8

  /// The scheme of that name, or `nil`. Case and punctuation do not matter.
  package static func named(_ name: String) -> (any Scheme)? {
    member(named: name, of: all) { [$0.name] + $0.aliases }
  }

  /// The scheme that stores weights as `scheme` does, but rotated; `nil` where there is none. That
  /// of a scheme of rotated weights is the scheme itself.
  package static func rotating(_ scheme: any Scheme) -> (any Scheme)? {
    scheme.encoding.codeFormat.flatMap { format in
      all.first { $0.encoding.codeFormat?.isRotation(of: format) == true }
    }
  }
}

/// Weights in the encoding of a scheme, with the rounding error.
package struct EncodedTensor: Sendable {
  package let tensor: StoredTensor
  package let figures: RoundingFigures

  package init(tensor: StoredTensor, figures: RoundingFigures) {
    self.tensor = tensor
    self.figures = figures
  }
}

/// Why a scheme cannot store a tensor. ``ConversionError`` adds the tensor's name.
package enum SchemeError: Error, Equatable {
  /// The weights hold NaN or an infinity, which integer codes cannot represent.
  case nonfinite
  /// The magnitude of a finite weight is above `limit`, the largest that the scheme stores.
  case overflows(limit: Float)
  /// The scale of a group, stored as float16, would be infinite.
  case scaleOverflowsHalf(Float)
}
