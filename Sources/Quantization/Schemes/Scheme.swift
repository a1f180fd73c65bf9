package import Tensors

/// A way of storing weights: `f16`, `int8`, `int4-g32`.
///
/// A scheme is one file that conforms to this protocol or to ``IntegerScheme``, and one line in
/// ``Schemes/all``.
package protocol Scheme: Sendable {
  /// The encoding of the tensors that the scheme makes. Its name is the scheme's name.
  var encoding: TensorEncoding { get }

  /// What the scheme is, in one line for `--help`.
  var summary: String { get }

  /// Modules that the scheme is too coarse for, and the schemes that they get by default.
  var exceptions: [SchemeException] { get }

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
  package var exceptions: [SchemeException] { [] }

  /// The name that users give and files record: `int8`, `int4-g32`.
  package var name: String { encoding.name }
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
    return EncodedTensor(
      tensor: try stored(rounded, shape: weights.shape), figures: rounded.figures)
  }
}

/// Every scheme, by name.
package enum Schemes {
  package static let all: [any Scheme] =
    PlainScheme.all + RowScheme.all + GroupScheme.all

  /// The scheme of that name in any case, or `nil`.
  package static func named(_ name: String) -> (any Scheme)? {
    let name = name.lowercased()
    return all.first { $0.name == aliases[name] ?? name }
  }

  /// Other names of schemes: PyTorch's, and ggml's for the same encodings.
  private static let aliases = [
    "float32": "f32", "fp32": "f32", "float16": "f16", "fp16": "f16", "half": "f16",
    "bfloat16": "bf16", "i8": "int8", "q8_0": "int8-g32", "q8": "int8-g32", "int4": "int4-g32",
    "q4_0": "int4-g32", "q4": "int4-g32",
  ]
}

/// A pattern of modules that get another scheme than the requested one.
package struct SchemeException: Sendable {
  package let pattern: ModulePattern
  package let scheme: any Scheme
  package let reason: String
}

/// Weights in the encoding of a scheme, with the rounding error.
package struct EncodedTensor: Sendable {
  package let tensor: StoredTensor
  package let figures: RoundingFigures
}

/// Why a scheme cannot store a tensor. ``ConversionError`` adds the tensor's name.
package enum SchemeError: Error, Equatable {
  /// The weights hold NaN or an infinity, which integer codes cannot represent.
  case nonfinite
  /// A finite weight becomes infinite in float16.
  case overflowsHalf
  /// The scale of a group, stored as float16, would be infinite.
  case scaleOverflowsHalf(Float)
}
