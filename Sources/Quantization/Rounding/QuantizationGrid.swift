package import Tensors

/// The numbers that an integer scheme can represent: symmetric codes, each times the scale of its
/// group.
package struct QuantizationGrid: Hashable, Sendable {
  /// The largest code: codes lie in `-largestCode...largestCode`.
  package let largestCode: Int
  /// Consecutive weights of a row that share a scale; `nil` for one scale a row.
  package let groupSize: Int?
  /// The element kind that scales are stored in: f16 or f32.
  package let scaleKind: ElementKind

  package init(largestCode: Int, groupSize: Int?, scaleKind: ElementKind) {
    self.largestCode = largestCode
    self.groupSize = groupSize
    self.scaleKind = scaleKind
  }
}
