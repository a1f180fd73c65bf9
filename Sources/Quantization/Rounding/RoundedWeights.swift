internal import Kernels
internal import Tensors

/// Integer codes and scales of a layer's weights, with the rounding error.
package struct RoundedWeights: Sendable {
  /// One code a weight, row after row.
  package let codes: [Int8]
  /// Scales, row by row and group by group.
  package let scales: [Float]
  package let figures: RoundingFigures

  package init(codes: [Int8], scales: [Float], figures: RoundingFigures) {
    self.codes = codes
    self.scales = scales
    self.figures = figures
  }
}

/// The rounding error of a tensor. Infinite decibels mean that no number changed.
package struct RoundingFigures: Sendable, Equatable {
  /// Signal to quantization noise, in decibels.
  package var sqnr: Double
  /// The same with each square times the mean square of the weight's input; `nil` without a
  /// calibration.
  package var weightedSQNR: Double?
  /// ``sqnr`` of round-to-nearest in the same encoding.
  package var plainSQNR: Double
  /// ``weightedSQNR`` of round-to-nearest in the same encoding.
  package var plainWeightedSQNR: Double?
  /// Ratios of the chosen scales to those of round-to-nearest; `nil` without scales.
  package var clip: Clip?

  package init(
    sqnr: Double, weightedSQNR: Double? = nil, plainSQNR: Double,
    plainWeightedSQNR: Double? = nil, clip: Clip? = nil
  ) {
    self.sqnr = sqnr
    self.weightedSQNR = weightedSQNR
    self.plainSQNR = plainSQNR
    self.plainWeightedSQNR = plainWeightedSQNR
    self.clip = clip
  }

  /// Mean and smallest ratio over the groups of a tensor.
  package struct Clip: Sendable, Equatable {
    package var mean: Double
    package var least: Double
  }
}

extension RoundedWeights {
  /// Tries scales for each group and keeps the one with the smallest squared error.
  ///
  /// - Parameter ratios: scales to try, relative to the one that maps the group's largest magnitude
  ///   to the largest code.
  init(
    searching weights: StoredTensor, on grid: QuantizationGrid, ratios: [Float],
    statistics: LayerStatistics?
  ) {
    let search = ScaleSearch(
      limit: grid.largestCode, groupSize: grid.groupSize, halfScales: grid.scaleKind == .f16,
      ratios: ratios)
    let result = symmetricCodes(
      of: weights, meanSquares: statistics?.meanSquares, search: search)
    self.init(
      codes: result.codes, scales: result.scales,
      figures: RoundingFigures(result, isCalibrated: statistics != nil))
  }
}

extension RoundingFigures {
  fileprivate init(_ codes: SymmetricCodes, isCalibrated: Bool) {
    func weighted(_ sums: RoundingSums) -> Double? {
      isCalibrated ? decibels(signal: sums.weightedSignal, error: sums.weightedError) : nil
    }
    let ratios = codes.ratios
    self.init(
      sqnr: decibels(signal: codes.chosen.signal, error: codes.chosen.error),
      weightedSQNR: weighted(codes.chosen),
      plainSQNR: decibels(signal: codes.plain.signal, error: codes.plain.error),
      plainWeightedSQNR: weighted(codes.plain),
      clip: ratios.isEmpty
        ? nil
        : Clip(
          mean: ratios.reduce(0) { $0 + Double($1) } / Double(ratios.count),
          least: Double(ratios.min() ?? 1)))
  }
}
