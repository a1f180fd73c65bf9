internal import Kernels
package import Tensors

/// Integer codes and scales of a layer's weights.
package struct RoundedWeights: Sendable {
  /// One code a weight, row after row. Codes of a ``QuantizationGrid`` fit 16 bits.
  package let codes: [Int16]
  /// Scales, row by row and group by group.
  package let scales: [Float]
  /// The rounding error, where the method measures it. `nil` lets the scheme measure it.
  package let figures: RoundingFigures?

  package init(codes: [Int16], scales: [Float], figures: RoundingFigures? = nil) {
    self.codes = codes
    self.scales = scales
    self.figures = figures
  }
}

/// The rounding error of a tensor. Infinite decibels mean that no number changed.
package struct RoundingFigures: Sendable, Equatable {
  /// Signal to quantization noise, in decibels.
  package var sqnr: Double
  /// The same with each square times the mean square of the weight's input or, where the second
  /// moments of the inputs are known, of the layer's output without bias; `nil` without a
  /// calibration.
  package var weightedSQNR: Double?
  /// ``sqnr`` of round-to-nearest in the same encoding.
  package var plainSQNR: Double
  /// ``weightedSQNR`` of round-to-nearest in the same encoding.
  package var plainWeightedSQNR: Double?
  /// How far the method clips: the ratios of its scales to those of round-to-nearest. `nil` for
  /// encodings without scales, and for methods that do not measure their error.
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

  /// The mean and the smallest ratio over the groups of a tensor. Both are 1 where nothing is
  /// clipped.
  package struct Clip: Sendable, Equatable {
    package var mean: Double
    package var least: Double

    package init(mean: Double, least: Double) {
      self.mean = mean
      self.least = least
    }
  }
}

extension RoundingFigures {
  /// Measures the error of a stored tensor.
  ///
  /// - Parameters:
  ///   - reference: the weights before rounding, of the same shape.
  ///   - plain: the figures of round-to-nearest in the same encoding; `nil` where the candidate is
  ///     rounded to nearest itself.
  ///   - statistics: calibration statistics of the layer's input; `nil` without a calibration.
  package init(
    of candidate: StoredTensor, reference weights: StoredTensor, plain: RoundingFigures? = nil,
    statistics: LayerStatistics?
  ) {
    var measures = ErrorMeasures()
    var (signal, error) = (0.0, 0.0)
    let meanSquares = statistics?.meanSquares
    weights.forEachRun(beside: candidate) { weights, found in
      measures.add(reference: weights, candidate: found)
      guard let meanSquares else { return }
      // A run is of whole rows.
      for index in 0..<weights.count {
        let weight = Double(weights[index])
        let difference = Double(found[index]) - weight
        let meanSquare = Double(meanSquares[index % meanSquares.count])
        signal += meanSquare * weight * weight
        error += meanSquare * difference * difference
      }
    }
    let weighted = meanSquares == nil ? nil : decibels(signal: signal, error: error)
    self.init(
      sqnr: measures.sqnr, weightedSQNR: weighted, plainSQNR: plain?.sqnr ?? measures.sqnr,
      plainWeightedSQNR: plain.map(\.weightedSQNR) ?? weighted)
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
    self.init(
      symmetricCodes(
        of: weights, meanSquares: statistics?.meanSquares,
        search: ScaleSearch(grid, ratios: ratios, of: weights)),
      isCalibrated: statistics != nil)
  }

  /// - Parameter isCalibrated: whether the weighted sums were measured.
  init(_ codes: SymmetricCodes, isCalibrated: Bool) {
    self.init(
      codes: codes.codes, scales: codes.scales,
      figures: RoundingFigures(codes, isCalibrated: isCalibrated))
  }
}

extension ScaleSearch {
  /// - Parameter weights: the weights to round, which determine the scales of a given step.
  init(_ grid: QuantizationGrid, ratios: [Float], of weights: StoredTensor) {
    self.init(
      limit: grid.largestCode, groupSize: grid.groupSize, halfScales: grid.scaleKind == .f16,
      ratios: ratios, rowScales: grid.rowScales(of: weights))
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
