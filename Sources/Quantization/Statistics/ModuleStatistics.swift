package import Kernels
package import Models

/// Statistics of the inputs of one module, by timestep band and guidance branch.
///
/// Every field is a maximum or an exact sum. Merging the statistics of separate runs, in any order,
/// therefore gives the same bits as one calibration of all of them.
package struct ModuleStatistics: Sendable, Equatable {
  package let channels: Int
  package let bands: Int
  /// Largest magnitude: [bands, branches, channels].
  package private(set) var maxima: [Float]
  /// Sum of squares: [bands, branches, channels].
  package private(set) var squareSums: [FixedSum]
  /// Inputs of each channel that were counted: [bands, branches].
  package private(set) var positions: [UInt64]
  /// Counts of magnitudes in the bins of `MagnitudeBins`: [bands, branches, bins].
  package private(set) var histogram: [UInt64]

  package init(channels: Int, bands: Int) {
    let cells = bands * GuidanceBranch.allCases.count
    self.channels = channels
    self.bands = bands
    maxima = [Float](repeating: 0, count: cells * channels)
    squareSums = [FixedSum](repeating: FixedSum(), count: cells * channels)
    positions = [UInt64](repeating: 0, count: cells)
    histogram = [UInt64](repeating: 0, count: cells * MagnitudeBins.count)
  }

  /// Statistics from stored arrays.
  ///
  /// - Returns: `nil` when an array does not have the size that `channels` and `bands` require.
  package init?(
    channels: Int, bands: Int, maxima: [Float], squareSums: [FixedSum], positions: [UInt64],
    histogram: [UInt64]
  ) {
    self.init(channels: channels, bands: bands)
    guard maxima.count == self.maxima.count, squareSums.count == self.squareSums.count,
      positions.count == self.positions.count, histogram.count == self.histogram.count
    else { return nil }
    self.maxima = maxima
    self.squareSums = squareSums
    self.positions = positions
    self.histogram = histogram
  }

  /// What ``add(_:band:branch:)`` did.
  package enum Addition: Sendable {
    case added
    /// An input was NaN or infinite.
    case nonfinite
    /// A sum of squares reaches 2^64.
    case overflow
  }

  /// Adds the inputs of one call of the module. After any result but ``Addition/added``, the
  /// statistics must not be used.
  ///
  /// - Precondition: the summary has ``channels`` channels.
  package mutating func add(
    _ summary: ActivationSummary, band: Int, branch: GuidanceBranch
  ) -> Addition {
    precondition(
      summary.maxima.count == channels,
      "\(summary.maxima.count) channels, expected \(channels)")
    let cell = band * GuidanceBranch.allCases.count + branch.rawValue
    for channel in 0..<channels {
      let place = cell * channels + channel
      guard summary.squareSums[channel].isFinite else { return .nonfinite }
      guard let squares = FixedSum(summary.squareSums[channel]), squareSums[place].add(squares)
      else { return .overflow }
      maxima[place] = max(maxima[place], summary.maxima[channel])
    }
    positions[cell] += UInt64(summary.positions)
    for (bin, count) in summary.histogram.enumerated() {
      histogram[cell * MagnitudeBins.count + bin] += count
    }
    return .added
  }

  /// Adds the statistics of other runs.
  ///
  /// - Returns: `false` when a sum or count overflows.
  /// - Precondition: both have the same channels and bands.
  package mutating func merge(_ other: ModuleStatistics) -> Bool {
    precondition(
      channels == other.channels && bands == other.bands,
      "\(other.channels) channels in \(other.bands) bands, expected \(channels) in \(bands)")
    for index in maxima.indices {
      maxima[index] = max(maxima[index], other.maxima[index])
      guard squareSums[index].add(other.squareSums[index]) else { return false }
    }
    return Self.add(other.positions, to: &positions) && Self.add(other.histogram, to: &histogram)
  }

  private static func add(_ counts: [UInt64], to sums: inout [UInt64]) -> Bool {
    for index in sums.indices {
      let (sum, overflow) = sums[index].addingReportingOverflow(counts[index])
      if overflow { return false }
      sums[index] = sum
    }
    return true
  }
}

// MARK: - Summaries

extension ModuleStatistics {
  /// Mean square of each channel over all bands and branches; `nil` when the calibration saw no
  /// input. Every input has the same weight.
  package func meanSquares() -> [Double]? {
    let count = positions.reduce(0.0) { $0 + Double($1) }
    guard count > 0 else { return nil }
    return (0..<channels).map { channel in
      positions.indices.reduce(0.0) { $0 + squareSums[$1 * channels + channel].value } / count
    }
  }
}
