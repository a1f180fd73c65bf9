private import Foundation
internal import Kernels
package import ModelSources
internal import Support
package import Tensors

extension QuantizationPlan {
  /// The plan with those layers stored as `rest` where one very large weight would round the others
  /// with the same scale to zero, or nearly.
  ///
  /// Layers with a scale for each group lose little to one outlier. They are stored as the rest
  /// where a row loses half of its signal. Each such layer, and each that loses single groups, is
  /// one of ``findings``. The figures of a layer do not show the loss, because the large weight
  /// dominates the sums of squares. Every weight is read once.
  ///
  /// - Parameter progress: called with the weights read so far and in total.
  /// - Throws: what the weights' source throws, and `CancellationError`.
  package func sparingOutliers(
    in weights: any WeightSource, rest: any Scheme,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> QuantizationPlan {
    let layers = entries.indices.filter { index in
      guard entries[index].scheme.encoding.sharedScale != nil,
        let encoding = weights.entry(entries[index].tensor)?.encoding
      else { return false }
      return encoding.isFloatingPoint && encoding.isWidenable && !encoding.isQuantized
    }
    let costs = layers.map { TensorPlace(source: weights, name: entries[$0].tensor).cost }
    var spared = entries
    var (layersSpared, groupsLost): ([String], [String]) = ([], [])
    let total = layers.reduce(0) { $0 + entries[$1].shape.count }
    var done = 0
    try produceInOrder(costs: costs) { number in
      let entry = entries[layers[number]]
      return Outliers(in: try weights.tensor(entry.tensor), storedAs: entry.scheme)
    } consume: { number, outliers in
      let index = layers[number]
      let entry = entries[index]
      done += entry.shape.count
      progress(done, total)
      guard let outliers else { return }
      guard let loss = outliers.loss else {
        groupsLost.append(
          "'\(shown(entry.tensor))': outliers in \(counted(outliers.lostGroups, "group")), whose other "
            + "weights \(entry.scheme.name) rounds to zero, or nearly")
        return
      }
      let decibels = (loss.sqnr * 10).rounded() / 10
      let reason =
        "outlier in row \(loss.row): \(entry.scheme.name) gives its other weights an SQNR of "
        + "\(decibels) dB"
      layersSpared.append("'\(shown(entry.tensor))' stays \(rest.name): \(reason)")
      spared[index] = Entry(
        tensor: entry.tensor, module: entry.module, shape: entry.shape, scheme: rest,
        reason: reason)
    }
    return QuantizationPlan(
      entries: spared, method: method, findings: findings + layersSpared + groupsLost)
  }
}

/// What the largest weights of a layer do to the others that share their scales.
///
/// The others are all weights but the largest of each row, or of each group with a scale of its own.
/// Rows are judged one by one, and a tensor with one scale as a whole.
package struct Outliers: Equatable {
  /// A row, or a tensor with one scale, whose other weights are lost.
  package struct Loss: Equatable {
    /// The row of the outlier.
    package let row: Int
    /// SQNR of the other weights in decibels, rounded to nearest.
    package let sqnr: Double
  }

  /// The loss with the lowest SQNR; `nil` where every SQNR is above the limit.
  package let loss: Loss?
  /// The groups with a scale whose other weights have an SQNR below ``groupLimit``, and matter in
  /// their row.
  package let lostGroups: Int

  /// The SQNR below which weights are lost. Normal weights in int8 have 41 dB, and 27 dB with one
  /// weight of 20 standard deviations. At 10 dB, that weight has 140; 2,200 in rotated groups of 256,
  /// and 250,000 in float8.
  static let limit = 10.0

  /// The same for rows of groups, of which an outlier takes one. In int4, rows of real layers without
  /// outliers come down to 10 dB.
  static let limitOfGroupedRows = 3.0

  /// The SQNR below which a group is lost. In int4, groups of real layers without outliers come down
  /// to 3 dB.
  static let groupLimit = 1.0

  /// - Returns: `nil` where nothing is lost.
  package init?(in weights: StoredTensor, storedAs scheme: any Scheme) {
    let length = weights.shape.rowLength
    guard let shared = scheme.encoding.sharedScale, length > 1 else { return nil }
    var screening = Screening(shared, length: length)
    weights.forEachRun { rows, floats in
      for row in rows {
        let start = (row - rows.lowerBound) * length
        screening.add(row: row, floats.extracting(start..<start + length))
      }
    }
    let run = if case .group(let size) = shared.extent { size } else { length }
    let limit = shared.rowLimit
    var (losses, lostGroups): ([Loss], Int) = ([], 0)
    func judge(_ part: StoredTensor, outlierIn row: Int) {
      guard let others = OtherWeights(of: part, storedAs: scheme, run: run) else { return }
      if others.sqnr < limit { losses.append(Loss(row: row, sqnr: others.sqnr)) }
      if run < length { lostGroups += others.lostRuns }
    }
    if shared.extent == .tensor {
      if screening.losesTensor { judge(weights, outlierIn: screening.rowOfLargest) }
    } else {
      for row in screening.suspects { judge(weights.rows(row..<row + 1), outlierIn: row) }
    }
    loss = losses.min { $0.sqnr < $1.sqnr }
    self.lostGroups = lostGroups
    if loss == nil, lostGroups == 0 { return nil }
  }
}

extension SharedScale {
  /// The SQNR below which the other weights of a row are lost.
  fileprivate var rowLimit: Double {
    if case .group = extent { Outliers.limitOfGroupedRows } else { Outliers.limit }
  }
}

/// The largest magnitude of some weights, and the sum of the squares of the others.
private struct Magnitudes {
  var largest = 0.0
  var others = 0.0

  init() {}

  init(_ weights: Span<Float>) {
    for index in weights.indices { add(Double(abs(weights[index]))) }
  }

  private mutating func add(_ magnitude: Double) {
    if magnitude > largest {
      others += largest * largest
      largest = magnitude
    } else {
      others += magnitude * magnitude
    }
  }

  mutating func add(_ more: Magnitudes) {
    add(more.largest)
    others += more.others
  }
}

/// Finds what may be lost from magnitudes alone: where other weights would be above the limit even
/// if all errors were as large as possible, nothing is rounded.
private struct Screening {
  private let shared: SharedScale
  private let length: Int
  /// Consecutive weights whose magnitudes are summed: a group, or a row.
  private let run: Int
  /// Rows that may be lost, or have groups that may be.
  private(set) var suspects: [Int] = []
  private(set) var rowOfLargest = 0
  private var tensor = Magnitudes()
  private var rows = 0

  init(_ shared: SharedScale, length: Int) {
    self.shared = shared
    self.length = length
    run =
      switch shared.extent {
      case .tensor, .row: length
      case .rotatedRow: CodeFormat.rotationSize(for: length) ?? length
      case .group(let size): size
      }
  }

  mutating func add(row: Int, _ weights: Span<Float>) {
    var whole = Magnitudes()
    var (others, error, norm) = (0.0, 0.0, 0.0)
    var isSuspect = false
    for start in stride(from: 0, to: length, by: run) {
      let range = start..<min(start + run, length)
      let part = Magnitudes(weights.extracting(range))
      whole.add(part)
      others += part.others
      norm = max(norm, part.others + part.largest * part.largest)
      guard case .group = shared.extent else { continue }
      let most = mostError(count: range.count, largest: part.largest, of: part.others)
      error += most
      isSuspect = isSuspect || mayLose(part.others, error: most, limit: Outliers.groupLimit)
    }
    switch shared.extent {
    case .tensor:
      if whole.largest > tensor.largest { rowOfLargest = row }
      tensor.largest = max(tensor.largest, whole.largest)
      tensor.others += whole.others
      rows += 1
      return
    case .row: error = mostError(count: length, largest: whole.largest, of: whole.others)
    // No number of a rotated group is larger than the group's norm.
    case .rotatedRow:
      error = mostError(count: length, largest: norm.squareRoot(), of: whole.others)
    case .group: whole.others = others
    }
    if isSuspect || mayLose(whole.others, error: error, limit: shared.rowLimit) {
      suspects.append(row)
    }
  }

  var losesTensor: Bool {
    let error = mostError(count: rows * length, largest: tensor.largest, of: tensor.others)
    return mayLose(tensor.others, error: error, limit: shared.rowLimit)
  }

  /// A bound of the sum of squared errors.
  private func mostError(count: Int, largest: Double, of signal: Double) -> Double {
    let absolute = shared.absoluteError * largest
    let relative = shared.relativeError
    return Double(count) * absolute * absolute + relative * relative * signal
  }

  private func mayLose(_ signal: Double, error: Double, limit: Double) -> Bool {
    signal > 0 && signal < pow(10, limit / 10) * error
  }
}

/// The weights of some rows without the largest of each run of a row, and their rounding errors.
private struct OtherWeights {
  let sqnr: Double
  /// Runs with an SQNR below ``Outliers/groupLimit`` that lose at least half of what a run of the
  /// row has in the mean. Weights that are all tiny do not matter.
  let lostRuns: Int

  /// - Returns: `nil` for weights that the scheme cannot store, which an encoder refuses.
  init?(of weights: StoredTensor, storedAs scheme: any Scheme, run: Int) {
    guard
      let stored = try? scheme.encode(
        weights, method: RoundingMethods.nearest, statistics: nil
      ).tensor
    else { return nil }
    let length = weights.shape.rowLength
    // Both sums add in the same order, so that their ratio is exactly 1 where all weights are lost.
    var (signal, error) = (0.0, 0.0)
    var lost = 0
    weights.forEachRun(beside: stored) { weights, stored in
      for row in stride(from: 0, to: weights.count, by: length) {
        let runs = stride(from: row, to: row + length, by: run).map { start in
          let range = start..<min(start + run, row + length)
          return Self.errors(weights.extracting(range), stored.extracting(range))
        }
        let mean = runs.reduce(0) { $0 + $1.signal } / Double(runs.count)
        for run in runs {
          signal += run.signal
          error += run.error
          if run.signal > 0, 2 * run.error >= mean, run.sqnr < Outliers.groupLimit { lost += 1 }
        }
      }
    }
    guard signal > 0 else { return nil }
    sqnr = decibels(signal: signal, error: error)
    lostRuns = lost
  }

  /// The errors of all weights of a run but its largest.
  private static func errors(_ weights: Span<Float>, _ stored: Span<Float>) -> ErrorMeasures {
    var (largest, place) = (Float(0), 0)
    for index in weights.indices where abs(weights[index]) > largest {
      (largest, place) = (abs(weights[index]), index)
    }
    var errors = ErrorMeasures()
    for range in [0..<place, place + 1..<weights.count] {
      errors.add(reference: weights.extracting(range), candidate: stored.extracting(range))
    }
    return errors
  }
}
