internal import Support
package import Tensors

/// Some inputs of a layer with the factor of their second moments.
package struct FeedbackBlock: Sendable, Equatable {
  /// The index in a row of weights of each input of the moments.
  package let inputs: [Int]
  package let factor: InputFactor

  package init(inputs: [Int], factor: InputFactor) {
    self.inputs = inputs
    self.factor = factor
  }

  /// The places in a row of weights, in the order of rounding.
  fileprivate var places: [Int] { factor.order.map { inputs[$0] } }
}

/// Chooses integer codes one input after another, so that the inputs that follow compensate each
/// rounding error (GPTQ: Frantar et al., arXiv 2210.17323).
///
/// For each row `w`, codes minimize `|(w - q) R|²` greedily, where `R Rᵀ` are the damped second
/// moments of the inputs: with errors `e = w - q` of the inputs before `i` in the order of the factor,
/// `q_i` is the nearest value to `w_i + (sum of e_j R_ji) / R_ii`. Inputs that no block holds keep the
/// codes that they have. Errors of one block do not influence another.
///
/// Results do not depend on the number of threads. Inside ``interruptible(_:)`` they have no meaning
/// once the task is cancelled.
///
/// - Parameters:
///   - weights: output channels by inputs. All are finite.
///   - start: the scales to use, and the codes of inputs without a factor.
///   - plain: codes and scales of rounding to nearest, for comparison.
///   - limit: the largest code, at most 32767.
///   - groupSize: consecutive weights of a row that share a scale; `nil` for one scale a row.
/// - Returns: the weighted sums are those of `|w R|²` and `|(w - q) R|²`.
package func feedingErrorsBack(
  _ blocks: [FeedbackBlock], of weights: StoredTensor, starting start: SymmetricCodes,
  plain: SymmetricCodes, limit: Int, groupSize: Int?
) -> SymmetricCodes {
  let (rows, length) = (weights.shape.rows, weights.shape.rowLength)
  if rows * length == 0 { return start }
  // The factor is read once for each tile of rows.
  let rowsOfTile = 64
  let tiles = (rows + rowsOfTile - 1) / rowsOfTile
  let longest = blocks.map(\.inputs.count).max() ?? 0
  let places = blocks.map(\.places)
  var sums = [TileSums](repeating: TileSums(), count: tiles)
  var codes = start.codes
  codes.withUnsafeMutableBufferPointer { codes in
    sums.withUnsafeMutableBufferPointer { sums in
      let (codes, sums) = (DisjointSlices(codes), DisjointSlices(sums))
      interruptibleParallel(tiles, scratch: rowsOfTile * (length + 2 * longest)) { index, memory in
        let range = index * rowsOfTile..<min(rows, (index + 1) * rowsOfTile)
        let tile = FeedbackTile(
          weights: memory, fedBack: memory + rowsOfTile * length,
          errors: memory + rowsOfTile * (length + longest),
          codes: codes.base + range.lowerBound * length, range: range, length: length,
          groupSize: groupSize ?? length, limit: Float(limit))
        var widened = MutableSpan(_unsafeStart: memory, count: range.count * length)
        weights.widen(rows: range, into: &widened)
        for (places, block) in zip(places, blocks) where !places.isEmpty {
          sums[index].add(tile.round(places, by: block.factor, scales: start.scales, plain: plain))
        }
        sums[index].addErrors(of: tile, scales: start.scales)
      }
    }
  }
  let total = sums.reduce(into: TileSums()) { $0.add($1) }
  var (chosen, compared) = (total.chosen, plain.plain)
  compared.weightedSignal = chosen.weightedSignal
  compared.weightedError = total.plainWeightedError
  chosen.signal = compared.signal
  return SymmetricCodes(
    codes: codes, scales: start.scales, ratios: start.ratios, chosen: chosen, plain: compared)
}

/// The sums over the rows of a tile.
private struct TileSums: Sendable {
  var chosen = RoundingSums()
  var plainWeightedError = 0.0

  mutating func add(_ other: TileSums) {
    chosen.add(other.chosen)
    plainWeightedError += other.plainWeightedError
  }

  mutating func addErrors(of tile: FeedbackTile, scales: [Float]) {
    chosen.error += tile.squaredError(scales: scales)
  }
}

/// Some rows of a layer while their codes are chosen.
///
/// Unchecked memory: each pointer has room for ``range`` rows.
private struct FeedbackTile {
  /// Widened weights, [rows, ``length``].
  let weights: UnsafeMutablePointer<Float>
  /// For each row and input in the factor's order, the sum of `e_j R_ji` so far.
  let fedBack: UnsafeMutablePointer<Float>
  /// For each row and input in the factor's order, `e_i`.
  let errors: UnsafeMutablePointer<Float>
  /// [rows, ``length``].
  let codes: UnsafeMutablePointer<Int16>
  /// The rows in the layer.
  let range: Range<Int>
  let length: Int
  let groupSize: Int
  let limit: Float

  private var rows: Int { range.count }
  private var groups: Int { (length - 1) / groupSize + 1 }

  /// Inputs between two matrix products.
  private static let inputsOfBlock = 128

  /// The scale of a weight, by its row in the tile.
  private func scale(_ row: Int, _ place: Int, _ scales: UnsafePointer<Float>) -> Float {
    scales[(range.lowerBound + row) * groups + place / groupSize]
  }

  /// Chooses the codes of the inputs of a factor.
  func round(
    _ places: [Int], by factor: InputFactor, scales: [Float], plain: SymmetricCodes
  ) -> TileSums {
    factor.values.reading { factor in
      scales.reading { chooseCodes(places, factor.base, scales: $0.base) }
      var sums = TileSums()
      sums.chosen.weightedError = squares(places.count, factor.base)
      fill(places) { row, place, weight in
        let code = plain.codes[(range.lowerBound + row) * length + place]
        let group = (range.lowerBound + row) * groups + place / groupSize
        return weight - Float(code) * plain.scales[group]
      }
      sums.plainWeightedError = squares(places.count, factor.base)
      fill(places) { _, _, weight in weight }
      sums.chosen.weightedSignal = squares(places.count, factor.base)
      return sums
    }
  }

  private func chooseCodes(
    _ places: [Int], _ factor: UnsafePointer<Float>, scales: UnsafePointer<Float>
  ) {
    let size = places.count
    fedBack.update(repeating: 0, count: rows * size)
    for start in stride(from: 0, to: size, by: Self.inputsOfBlock) {
      let end = min(size, start + Self.inputsOfBlock)
      for row in 0..<rows {
        let sums = fedBack + row * size
        for index in start..<end {
          let place = places[index]
          let weight = weights[row * length + place]
          let scale = scale(row, place, scales)
          let line = factor + index * size
          let wanted = (weight + sums[index] / line[index]) / scale
          let code =
            scale == 0 ? 0 : min(limit, max(-limit, wanted.rounded(.toNearestOrEven)))
          codes[row * length + place] = Int16(code)
          let error = weight - code * scale
          errors[row * size + index] = error
          for later in index + 1..<max(index + 1, end) { sums[later] += error * line[later] }
        }
      }
      if end < size {
        multiply(
          Matrix(base: errors + start, stride: size),
          Matrix(base: factor + start * size + end, stride: size), into: fedBack + end,
          stride: size, m: rows, n: size - end, k: end - start, keep: 1)
      }
    }
  }

  /// Fills ``errors`` with numbers made from the weights.
  private func fill(_ places: [Int], _ number: (_ row: Int, _ place: Int, Float) -> Float) {
    for row in 0..<rows {
      for (index, place) in places.enumerated() {
        errors[row * places.count + index] = number(row, place, weights[row * length + place])
      }
    }
  }

  /// The sum of squares of ``errors`` times the factor, whose product replaces ``errors``.
  private func squares(_ size: Int, _ factor: UnsafePointer<Float>) -> Double {
    multiplyByUpperTriangle(errors, stride: size, factor, m: rows, n: size)
    return UnsafeBufferPointer(start: errors, count: rows * size).reduce(0) {
      $0 + Double($1) * Double($1)
    }
  }

  /// The sum of squared errors of the codes.
  func squaredError(scales: [Float]) -> Double {
    var sum = 0.0
    scales.reading { scales in
      for row in 0..<rows {
        for place in 0..<length {
          let index = row * length + place
          let error = weights[index] - Float(codes[index]) * scale(row, place, scales.base)
          sum += Double(error) * Double(error)
        }
      }
    }
    return sum
  }
}
