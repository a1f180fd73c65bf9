private import Foundation
internal import Kernels
package import ModelSources
internal import Support
package import Tensors

extension QuantizationPlan {
  /// The plan with layers in `rest` that would lose a row to a single weight: one that is so large
  /// that the other weights of its row are rounded to zero, or nearly.
  ///
  /// Only layers with one scale for each row can lose a row. The figures of such a layer do not show
  /// the loss, because the large weight dominates the sums of squares. Every weight of these layers
  /// is read once.
  ///
  /// - Parameter progress: called with the weights read so far and in total.
  /// - Throws: what the weights' source throws, and `CancellationError`.
  package func sparingOutliers(
    in weights: any WeightSource, rest: any Scheme,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> QuantizationPlan {
    let layers = entries.indices.compactMap { index -> (index: Int, largestCode: Int)? in
      guard let scheme = entries[index].scheme as? any IntegerScheme, scheme.grid.groupSize == nil,
        let encoding = weights.entry(entries[index].tensor)?.encoding,
        encoding.isFloatingPoint, encoding.isWidenable, !encoding.isQuantized
      else { return nil }
      return (index, scheme.grid.largestCode)
    }
    let costs = layers.map { TensorPlace(source: weights, name: entries[$0.index].tensor).cost }
    var spared = entries
    let total = layers.reduce(0) { $0 + entries[$1.index].shape.count }
    var done = 0
    try produceInOrder(costs: costs) { number in
      let (index, largestCode) = layers[number]
      return OutlierRow(in: try weights.tensor(entries[index].tensor), largestCode: largestCode)
    } consume: { number, outlier in
      let index = layers[number].index
      let entry = entries[index]
      done += entry.shape.count
      progress(done, total)
      guard let outlier else { return }
      let decibels = (outlier.sqnr * 10).rounded() / 10
      spared[index] = Entry(
        tensor: entry.tensor, module: entry.module, shape: entry.shape, scheme: rest,
        reason: "outlier in row \(outlier.row): \(entry.scheme.name) gives its other weights "
          + "an SQNR of \(decibels) dB")
    }
    return QuantizationPlan(entries: spared, method: method)
  }
}

/// The row of a tensor whose weights, without the largest, have the lowest SQNR.
package struct OutlierRow: Equatable {
  package let row: Int
  /// SQNR, in decibels, of the row without its largest weight, rounded to nearest.
  package let sqnr: Double

  /// The SQNR below which a row is lost. Normal weights have 41 dB, and 27 dB with one weight of 20
  /// standard deviations. At 10 dB, that weight has 140.
  static let limit = 10.0

  /// - Returns: `nil` where every row is above ``limit``.
  package init?(in weights: StoredTensor, largestCode: Int) {
    let length = weights.shape.rowLength
    guard length > 1 else { return nil }
    var worst: (row: Int, sqnr: Double)?
    weights.forEachRun { rows, floats in
      for row in rows {
        let start = (row - rows.lowerBound) * length
        let sqnr = Self.sqnr(
          of: floats.extracting(start..<start + length), largestCode: largestCode)
        if sqnr < min(Self.limit, worst?.sqnr ?? .infinity) { worst = (row, sqnr) }
      }
    }
    guard let worst else { return nil }
    (row, sqnr) = worst
  }

  /// The SQNR of a row without its largest weight; infinite where it is above ``limit`` for
  /// certain.
  private static func sqnr(of row: Span<Float>, largestCode: Int) -> Double {
    var largest = 0.0
    var place = 0
    var signal = 0.0
    for index in row.indices {
      let magnitude = Double(abs(row[index]))
      if magnitude > largest {
        signal += largest * largest
        (largest, place) = (magnitude, index)
      } else {
        signal += magnitude * magnitude
      }
    }
    let scale = largest / Double(largestCode)
    // No error is larger than half a step. A signal that is above the limit even if all errors are
    // that large needs no second pass.
    let limit = pow(10, Self.limit / 10)
    guard signal > 0, signal < limit * Double(row.count) * scale * scale / 4 else {
      return .infinity
    }
    // Both sums add in the same order, so that their ratio is exactly 1 where all weights are lost.
    var (others, error) = (0.0, 0.0)
    for index in row.indices where index != place {
      let weight = Double(row[index])
      let difference = weight - scale * (weight / scale).rounded(.toNearestOrEven)
      others += weight * weight
      error += difference * difference
    }
    return decibels(signal: others, error: error)
  }
}
