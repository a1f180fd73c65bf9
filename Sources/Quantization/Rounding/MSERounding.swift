internal import Tensors

/// Least squared error: clips each group at the scale with the smallest error.
///
/// The search goes from the scale of round-to-nearest down to 0.6 of it in steps of 0.01. With a
/// calibration, each squared error counts times the mean square of the weight's input.
struct MSERounding: RoundingMethod {
  let name = "mse"
  let summary =
    "the scale with the least squared error, weighted by the calibration if given"
  let usesStatistics = true

  /// Scales to try, relative to that of round-to-nearest.
  static let ratios = (0...40).map { 1 - Float($0) / 100 }

  func round(
    _ weights: StoredTensor, to grid: QuantizationGrid, statistics: LayerStatistics?
  ) -> RoundedWeights {
    RoundedWeights(
      searching: weights, on: grid, ratios: Self.ratios, statistics: statistics)
  }
}
