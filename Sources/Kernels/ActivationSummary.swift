private import CKernels
internal import Support
package import Tensors

/// Statistics of the input of one module: for each channel, and as a histogram of magnitudes.
package struct ActivationSummary: Sendable, Equatable {
  /// The largest magnitude of each channel.
  package var maxima: [Float]
  /// The sum of squares of each channel, added in float64 and in a fixed order. Divided by
  /// ``positions`` it is the mean square.
  package var squareSums: [Double]
  /// The number of values of each channel.
  package var positions: Int
  /// Counts of magnitudes; see ``MagnitudeBins``.
  package var histogram: [UInt64]

  package init(maxima: [Float], squareSums: [Double], positions: Int, histogram: [UInt64]) {
    self.maxima = maxima
    self.squareSums = squareSums
    self.positions = positions
    self.histogram = histogram
  }
}

/// The bins of magnitude histograms. They are the same for every module, so that histograms can be
/// added exactly.
///
/// Bin 0 counts magnitudes below 2^-24, including zero. Bins 1 to 320 divide each octave up to 2^16
/// into eight bins of equal width. The last bin counts magnitudes of 2^16 and more.
package enum MagnitudeBins {
  package static let count = Int(DECANT_HISTOGRAM_BINS)
}

/// Summarizes consecutive samples of an activation of shape [rows, channels], [batch, tokens,
/// channels] or [batch, channels, height, width].
///
/// - Parameters:
///   - samples: the indices of the samples. Each sample has the same number of rows.
///   - count: the number of samples in the activation.
/// - Precondition: `count` divides the outermost extent.
package func summarize(
  _ activation: Tensor, samples: Range<Int>, of count: Int
) -> ActivationSummary {
  let shape = activation.shape
  precondition(
    (2...4).contains(shape.rank) && count > 0 && shape[0] % count == 0
      && samples.lowerBound >= 0 && samples.upperBound <= count,
    "samples \(samples) of \(count) in an activation of \(shape)")
  let outer = samples.lowerBound * shape[0] / count..<samples.upperBound * shape[0] / count
  // Images store a plane for each channel. Rows store the channels of a position side by side.
  let isImage = shape.rank == 4
  let channels = isImage ? shape[1] : shape[shape.rank - 1]
  let inner = isImage ? shape[2] * shape[3] : shape.rank == 3 ? shape[1] : 1
  let width = isImage ? 16 : 128
  let units = channels == 0 ? 0 : (channels - 1) / width + 1
  var summary = ActivationSummary(
    maxima: [Float](repeating: 0, count: channels),
    squareSums: [Double](repeating: 0, count: channels),
    positions: outer.count * inner,
    histogram: [UInt64](repeating: 0, count: MagnitudeBins.count))
  var histograms = [UInt64](repeating: 0, count: units * MagnitudeBins.count)

  activation.values.reading { source in
    summary.maxima.withUnsafeMutableBufferPointer { maxima in
      summary.squareSums.withUnsafeMutableBufferPointer { squareSums in
        histograms.withUnsafeMutableBufferPointer { histograms in
          guard let maxima = maxima.baseAddress, let squareSums = squareSums.baseAddress,
            let histograms = histograms.baseAddress
          else { return }
          let target = SummaryTarget(
            maxima: maxima, squareSums: squareSums, histograms: histograms)
          parallel(units) { unit in
            let range = unit * width..<min(channels, (unit + 1) * width)
            let bins = target.histograms + unit * MagnitudeBins.count
            if isImage {
              for channel in range {
                for sample in outer {
                  let plane = source + (sample * channels + channel) * inner
                  target.maxima[channel] = max(
                    target.maxima[channel], decant_largest_magnitude(plane, inner))
                  target.squareSums[channel] += decant_square_sum(plane, inner)
                  decant_magnitude_histogram(plane, inner, bins)
                }
              }
            } else {
              let first = source + outer.lowerBound * inner * channels + range.lowerBound
              let rows = outer.count * inner
              decant_column_statistics(
                first, rows, range.count, channels, target.maxima + range.lowerBound,
                target.squareSums + range.lowerBound)
              for row in 0..<rows {
                decant_magnitude_histogram(first + row * channels, range.count, bins)
              }
            }
          }
        }
      }
    }
  }
  for (index, count) in histograms.enumerated() {
    summary.histogram[index % MagnitudeBins.count] += count
  }
  return summary
}

/// The buffers that the units of ``summarize(_:samples:of:)`` write.
///
/// Unchecked: each unit of work writes its own channels and its own histogram.
private struct SummaryTarget: @unchecked Sendable {
  let maxima: UnsafeMutablePointer<Float>
  let squareSums: UnsafeMutablePointer<Double>
  let histograms: UnsafeMutablePointer<UInt64>
}
