package import Tensors

/// One way of storing weights. A scheme is one file that conforms to this, and one line in
/// ``Schemes/all``.
package protocol Scheme: Sendable {
  /// How the tensors that it makes are stored. The encoding's name is the scheme's.
  var encoding: TensorEncoding { get }

  /// What it is, in one line, for `--help`.
  var summary: String { get }

  /// Modules that the scheme is too coarse for, and what they get in its place by default.
  var exceptions: [SchemeException] { get }

  /// `weights` in ``encoding``.
  ///
  /// - Parameters:
  ///   - meanSquares: the mean square of the input that each weight of a row is multiplied with;
  ///     `nil` when nothing was calibrated.
  /// - Throws: what the weights hold that the scheme cannot store.
  func encode(
    _ weights: StoredTensor, method: RoundingMethod, meanSquares: [Float]?
  ) throws(SchemeError) -> EncodedTensor
}

extension Scheme {
  package var exceptions: [SchemeException] { [] }

  /// The name that users give and files hold: `int8`, `int4-g32`.
  package var name: String { encoding.name }
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

  /// Usual names of schemes: PyTorch's, and ggml's for the encodings that are the same to the bit.
  private static let aliases = [
    "float32": "f32", "fp32": "f32", "float16": "f16", "fp16": "f16", "half": "f16",
    "bfloat16": "bf16", "i8": "int8", "q8_0": "int8-g32", "q8": "int8-g32", "int4": "int4-g32",
    "q4_0": "int4-g32", "q4": "int4-g32",
  ]
}

/// Modules that get another scheme than the one that was asked for.
package struct SchemeException: Sendable {
  package let pattern: ModulePattern
  package let scheme: any Scheme
  package let reason: String
}

/// Weights as a scheme stored them, and what that cost.
package struct EncodedTensor: Sendable {
  package let tensor: StoredTensor
  package let figures: RoundingFigures
}

/// What storing a tensor cost. Infinite decibels mean that no number changed.
package struct RoundingFigures: Sendable, Equatable {
  /// Signal to quantization noise in decibels.
  package var sqnr: Double
  /// The same with every weight's squares times the energy of its input; `nil` uncalibrated.
  package var weightedSQNR: Double?
  /// What plain rounding in the same encoding would have given.
  package var plainSQNR: Double
  package var plainWeightedSQNR: Double?
  /// Mean and least of the chosen scales over the plain ones; `nil` where there are no scales.
  package var clip: Clip?

  package struct Clip: Sendable, Equatable {
    package var mean: Double
    package var least: Double
  }
}

/// What weights hold that a scheme cannot store. Whoever knows the tensor's name adds it.
package enum SchemeError: Error, Equatable {
  /// NaN or an infinity, for which there is no code.
  case nonfinite
  /// A finite number becomes infinite in float16.
  case overflowsHalf
  /// The scale of a group, which is stored as float16, would be infinite.
  case scaleOverflowsHalf(Float)
}
