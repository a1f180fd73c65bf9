internal import Kernels
internal import Tensors

/// GPTQ (Frantar et al., arXiv 2210.17323): the inputs of a layer that are rounded later compensate
/// the rounding errors of those before. The largest inputs come first (act-order), and scales are
/// those of the weights before rounding.
///
/// It needs the second moments of the layer's inputs, which recorded calls give. Layers without
/// them are rounded by ``MSERounding``.
struct GPTQRounding: RoundingMethod {
  let name = "gptq"
  let summary = "the rounding errors of a layer compensate each other; needs a calibration"
  let usesStatistics = true
  let usesMoments = true

  func applied(with statistics: LayerStatistics?) -> any RoundingMethod {
    statistics?.feedback.isEmpty == false ? self : MSERounding()
  }

  func round(
    _ weights: StoredTensor, to grid: QuantizationGrid, statistics: LayerStatistics?
  ) -> RoundedWeights {
    guard let statistics, !statistics.feedback.isEmpty else {
      return MSERounding().round(weights, to: grid, statistics: statistics)
    }
    let plain = symmetricCodes(
      of: weights, meanSquares: nil, search: ScaleSearch(grid, ratios: [1], of: weights))
    // Clipping int8 gains nothing (measured); with fewer codes it does.
    let isCoarse = grid.largestCode < 64 && grid.step == nil
    let start =
      isCoarse
      ? symmetricCodes(
        of: weights, meanSquares: statistics.meanSquares,
        search: ScaleSearch(grid, ratios: MSERounding.ratios, of: weights)) : plain
    let codes = feedingErrorsBack(
      statistics.feedback, of: weights, starting: start, plain: plain, limit: grid.largestCode,
      groupSize: grid.groupSize)
    return RoundedWeights(codes, isCalibrated: true)
  }
}
