internal import Tensors

/// Round-to-nearest: the scale maps the largest magnitude of each group to the largest code.
struct AbsmaxRounding: RoundingMethod {
  let name = "round"
  let summary = "the largest weight of a row or group gets the largest code"
  let usesStatistics = false

  func round(
    _ weights: StoredTensor, to grid: QuantizationGrid, statistics: LayerStatistics?
  ) -> RoundedWeights {
    RoundedWeights(searching: weights, on: grid, ratios: [1], statistics: statistics)
  }
}
