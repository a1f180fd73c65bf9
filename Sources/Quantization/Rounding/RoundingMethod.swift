private import Support
package import Tensors

/// An algorithm that chooses the integer codes and scales of a layer's weights.
///
/// A method is one file that conforms to this protocol, and one line in ``RoundingMethods/all``.
package protocol RoundingMethod: Sendable {
  /// The name that users give and files record: `mse`.
  var name: String { get }

  /// What the method does, in one line for `--help`.
  var summary: String { get }

  /// Whether calibration statistics change the result.
  var usesStatistics: Bool { get }

  /// Whether the method needs the second moments of the layer's inputs
  /// (``LayerStatistics/feedback``).
  var usesMoments: Bool { get }

  /// The method that rounds a layer with these statistics: itself, or another one where it lacks
  /// what it needs.
  func applied(with statistics: LayerStatistics?) -> any RoundingMethod

  /// Rounds the weights of one layer to integer codes. The scheme measures the error of a result
  /// without figures.
  ///
  /// - Parameters:
  ///   - weights: output channels by weights of a row. All are finite.
  ///   - grid: the codes and scales that the scheme can store.
  ///   - statistics: calibration statistics of the layer's input; `nil` without a calibration.
  func round(
    _ weights: StoredTensor, to grid: QuantizationGrid, statistics: LayerStatistics?
  ) -> RoundedWeights
}

extension RoundingMethod {
  package var usesMoments: Bool { false }

  package func applied(with statistics: LayerStatistics?) -> any RoundingMethod { self }
}

/// Every rounding method, by name.
package enum RoundingMethods {
  package static let all: [any RoundingMethod] = [
    AbsmaxRounding(),
    MSERounding(),
    GPTQRounding(),
  ]

  /// The method that applies when none is named.
  ///
  /// - Parameter hasMoments: whether the second moments of layers' inputs can be measured.
  package static func standard(hasMoments: Bool) -> any RoundingMethod {
    hasMoments ? GPTQRounding() : MSERounding()
  }

  /// Round-to-nearest, the method to compare others with.
  package static let nearest: any RoundingMethod = AbsmaxRounding()

  /// The method of that name, or `nil`.
  package static func named(_ name: String) -> (any RoundingMethod)? {
    member(named: name, of: all) { [$0.name] }
  }
}
