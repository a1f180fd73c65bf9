private import Foundation
package import Tensors

/// Integer codes whose step is given, so that a rounding method chooses codes alone.
///
/// The tensors are those of ``base``. Large steps give small codes, which lossless coding shortens.
package struct SteppedScheme: IntegerScheme {
  private let base: any IntegerScheme
  package let grid: QuantizationGrid

  /// - Parameter step: relative to the root mean square of the layer's weights.
  /// - Precondition: `base` has one scale for each row.
  package init(_ base: any IntegerScheme, step: Double) {
    self.base = base
    grid = base.grid.with(step: step)
  }

  package var encoding: TensorEncoding { base.encoding }

  package func stored(
    _ rounded: RoundedWeights, shape: Shape
  ) throws(SchemeError) -> StoredTensor { try base.stored(rounded, shape: shape) }

  /// The steps to choose from, relative to the root mean square of a layer's weights.
  ///
  /// Coarser steps were measured to lose more at picture sizes without calibration, and finer ones to
  /// gain nothing.
  package static let steps: [Double] = {
    let (least, most, count) = (0.003, 0.3, 17)
    return (0..<count).map { least * pow(most / least, Double($0) / Double(count - 1)) }
  }()

  /// The schemes whose step can be given: those with 8 bits or more and one scale for each row.
  package static let bases: [any IntegerScheme] = Schemes.all.compactMap {
    $0 as? any IntegerScheme
  }.filter { $0.grid.groupSize == nil && $0.grid.largestCode >= 127 }
}

/// A scheme for one module, with the reason for it.
package struct ChosenScheme: Sendable {
  package let scheme: any Scheme
  /// As tables show it.
  package let reason: String

  package init(scheme: any Scheme, reason: String) {
    self.scheme = scheme
    self.reason = reason
  }
}
