package import Tensors

/// The numbers that an integer scheme can represent: symmetric codes, each times the scale of its
/// group.
///
/// Grids have no zero point and no minimums, and their codes fit 16 bits. A scheme with others
/// chooses its codes itself: it conforms to ``Scheme`` and not to ``IntegerScheme``.
package struct QuantizationGrid: Hashable, Sendable {
  /// The largest code: codes lie in `-largestCode...largestCode`.
  package let largestCode: Int
  /// Consecutive weights of a row that share a scale; `nil` for one scale a row.
  package let groupSize: Int?
  /// The element kind that scales are stored in: f16 or f32.
  package let scaleKind: ElementKind
  /// The step between two codes, relative to the root mean square of the layer's weights; see
  /// ``rowScales(of:)``. `nil` where the rounding method chooses the scales.
  package let step: Double?

  package init(
    largestCode: Int, groupSize: Int?, scaleKind: ElementKind, step: Double? = nil
  ) {
    self.largestCode = largestCode
    self.groupSize = groupSize
    self.scaleKind = scaleKind
    self.step = step
  }

  /// The grid with a given step.
  ///
  /// - Precondition: there is one scale for each row.
  package func with(step: Double) -> QuantizationGrid {
    precondition(groupSize == nil, "a step of groups of \(groupSize ?? 0) weights")
    return QuantizationGrid(
      largestCode: largestCode, groupSize: nil, scaleKind: scaleKind, step: step)
  }

  /// The grid of a format, without its least code.
  ///
  /// - Precondition: the format is symmetric, with one scale for each weight and at most 16 bits.
  init(_ format: CodeFormat) {
    precondition(
      format.zeroPoint == 0 && format.minimums.isEmpty && format.scales.count == 1
        && format.bits <= 16, "\(format.name) as symmetric codes")
    self.init(
      largestCode: (1 << (format.bits - 1)) - 1, groupSize: format.scales[0].runLength,
      scaleKind: format.scales[0].kind)
  }
}
