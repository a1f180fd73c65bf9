package import Kernels

/// What was seen of the inputs of one module, kept apart by band of the timestep and by pass.
///
/// Every field is a maximum or an exact sum, so statistics of disjoint runs, merged in any order,
/// are bit for bit those of all runs together.
package struct ModuleStatistics: Sendable, Equatable {
  package let channels: Int
  package let bands: Int
  /// Largest magnitude: [bands, passes, channels].
  package private(set) var maxima: [Float]
  /// Sum of squares: [bands, passes, channels].
  package private(set) var meanSquares: [FixedSum]
  /// Numbers of each channel that were seen: [bands, passes].
  package private(set) var positions: [UInt64]
  /// Counts of magnitudes, see `MagnitudeBins`: [bands, passes, bins].
  package private(set) var histogram: [UInt64]

  package init(channels: Int, bands: Int) {
    let cells = bands * GuidancePass.allCases.count
    self.channels = channels
    self.bands = bands
    maxima = [Float](repeating: 0, count: cells * channels)
    meanSquares = [FixedSum](repeating: FixedSum(), count: cells * channels)
    positions = [UInt64](repeating: 0, count: cells)
    histogram = [UInt64](repeating: 0, count: cells * MagnitudeBins.count)
  }

  /// - Returns: `nil` when the arrays are not of the sizes that `channels` and `bands` ask for.
  package init?(
    channels: Int, bands: Int, maxima: [Float], meanSquares: [FixedSum], positions: [UInt64],
    histogram: [UInt64]
  ) {
    self.init(channels: channels, bands: bands)
    guard maxima.count == self.maxima.count, meanSquares.count == self.meanSquares.count,
      positions.count == self.positions.count, histogram.count == self.histogram.count
    else { return nil }
    self.maxima = maxima
    self.meanSquares = meanSquares
    self.positions = positions
    self.histogram = histogram
  }

  /// Adds what was seen in one call.
  ///
  /// - Returns: `false` when a number was NaN or infinite, or a sum grows beyond 2^64.
  /// - Precondition: the summary has as many channels.
  package mutating func add(_ summary: ActivationSummary, band: Int, pass: GuidancePass) -> Bool {
    precondition(
      summary.maxima.count == channels,
      "\(summary.maxima.count) channels where there were \(channels)")
    let cell = band * GuidancePass.allCases.count + pass.rawValue
    for channel in 0..<channels {
      let place = cell * channels + channel
      guard let energy = FixedSum(summary.meanSquares[channel]), meanSquares[place].add(energy)
      else {
        return false
      }
      maxima[place] = max(maxima[place], summary.maxima[channel])
    }
    positions[cell] += UInt64(summary.positions)
    for (bin, count) in summary.histogram.enumerated() {
      histogram[cell * MagnitudeBins.count + bin] += count
    }
    return true
  }

  /// Adds what other runs saw.
  ///
  /// - Returns: `false` when a sum grows too large.
  /// - Precondition: both have the same channels and bands.
  package mutating func merge(_ other: ModuleStatistics) -> Bool {
    precondition(
      channels == other.channels && bands == other.bands,
      "\(other.channels) channels in \(other.bands) bands beside \(channels) in \(bands)")
    for index in maxima.indices {
      maxima[index] = max(maxima[index], other.maxima[index])
      guard meanSquares[index].add(other.meanSquares[index]) else { return false }
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

// MARK: - What they tell

extension ModuleStatistics {
  /// Mean square of each channel over the chosen bands and passes, each number counting once;
  /// `nil` when nothing was seen there.
  ///
  /// - Parameters:
  ///   - bands: all of them by default.
  ///   - passes: all of them by default.
  package func meanSquares(
    bands: Range<Int>? = nil, passes: [GuidancePass] = GuidancePass.allCases
  ) -> [Double]? {
    let cells = cells(bands, passes)
    let seen = cells.reduce(0.0) { $0 + Double(positions[$1]) }
    guard seen > 0 else { return nil }
    return (0..<channels).map { channel in
      cells.reduce(0.0) { $0 + meanSquares[$1 * channels + channel].value } / seen
    }
  }

  /// Largest magnitude of each channel over the chosen bands and passes.
  package func maxima(
    bands: Range<Int>? = nil, passes: [GuidancePass] = GuidancePass.allCases
  ) -> [Float] {
    let cells = cells(bands, passes)
    return (0..<channels).map { channel in
      cells.reduce(0) { max($0, maxima[$1 * channels + channel]) }
    }
  }

  /// The magnitude that a share of all numbers does not exceed, from the histogram: right to
  /// within the width of its bin (an eighth of an octave, 6 to 13 %), straight between its edges,
  /// and never above the largest magnitude; `nil` when nothing was seen.
  ///
  /// - Parameter share: from 0 to 1: 0.999 for the 99.9th percentile.
  package func percentile(
    _ share: Double, bands: Range<Int>? = nil, passes: [GuidancePass] = GuidancePass.allCases
  ) -> Double? {
    precondition((0...1).contains(share), "percentile of share \(share)")
    let cells = cells(bands, passes)
    let counts = (0..<MagnitudeBins.count).map { bin in
      cells.reduce(0.0) { $0 + Double(histogram[$1 * MagnitudeBins.count + bin]) }
    }
    let total = counts.reduce(0, +)
    guard total > 0 else { return nil }
    let largest = Double(maxima(bands: bands, passes: passes).max() ?? 0)
    let rank = share * total
    var below = 0.0
    for (bin, count) in counts.enumerated() where count > 0 {
      if below + count >= rank {
        let lower = MagnitudeBins.lowerEdge(bin)
        let upper =
          bin + 1 < MagnitudeBins.count ? min(largest, MagnitudeBins.lowerEdge(bin + 1)) : largest
        return min(largest, lower + (upper - lower) * max(0, (rank - below) / count))
      }
      below += count
    }
    return largest
  }

  private func cells(_ bands: Range<Int>?, _ passes: [GuidancePass]) -> [Int] {
    (bands ?? 0..<self.bands).flatMap { band in
      passes.map { band * GuidancePass.allCases.count + $0.rawValue }
    }
  }
}
