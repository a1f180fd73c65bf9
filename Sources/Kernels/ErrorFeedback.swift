internal import Support
package import Tensors

/// Symmetric integer codes on given scales, chosen one input after another so that each rounding
/// error is compensated by the inputs that follow (GPTQ: Frantar et al., arXiv 2210.17323).
///
/// For each row `w`, codes minimize `|(w - q) R|²` greedily, where `R Rᵀ` are the damped second
/// moments of the inputs: with errors `e = w - q` of the inputs before `i` in the order of the factor,
/// `q_i` is the nearest value to `w_i + (sum of e_j R_ji) / R_ii`. Inputs that no factor holds are
/// rounded to nearest. Input blocks of different factors do not influence each other.
///
/// Results do not depend on the number of threads.
///
/// - Parameters:
///   - weights: output channels by inputs. All are finite.
///   - scales: row by row and group by group; 0 makes codes of 0.
///   - limit: the largest code.
///   - groupSize: consecutive weights of a row that share a scale; `nil` for one scale a row.
///   - factors: factors of disjoint sets of inputs, with the index of each input in a row.
package func codesWithErrorFeedback(
  of weights: StoredTensor, scales: [Float], limit: Int, groupSize: Int?,
  factors: [(inputs: [Int], factor: InputFactor)]
) -> [Int8] {
  let (rows, length) = (weights.shape.rows, weights.shape.rowLength)
  let groups = length == 0 ? 0 : (length - 1) / (groupSize ?? length) + 1
  precondition(scales.count == rows * groups, "\(scales.count) scales of \(rows * groups)")
  if rows * groups == 0 { return [] }
  // The factor is read once for each block of rows.
  let rowsOfBlock = 64
  let places = factors.map { part in part.factor.order.map { part.inputs[$0] } }
  let longest = places.map(\.count).max() ?? 0
  return [Int8](unsafeUninitializedCapacity: rows * length) { codes, count in
    count = rows * length
    let codes = DisjointSlices(codes)
    parallel(
      (rows + rowsOfBlock - 1) / rowsOfBlock, scratch: rowsOfBlock * (length + 2 * longest)
    ) { block, memory in
      let range = block * rowsOfBlock..<min(rows, (block + 1) * rowsOfBlock)
      var tile = FeedbackTile(
        weights: memory, sums: memory + rowsOfBlock * length,
        errors: memory + rowsOfBlock * (length + longest),
        codes: codes.base + range.lowerBound * length,
        rows: range.count, length: length, groupSize: groupSize ?? length, limit: Float(limit))
      var widened = MutableSpan(
        _unsafeStart: memory, count: range.count * length)
      weights.widen(rows: range, into: &widened)
      scales.withUnsafeBufferPointer { scales in
        guard let base = scales.baseAddress else { return }
        tile.scales = base + range.lowerBound * groups
        tile.roundToNearest()
        for (places, part) in zip(places, factors) {
          tile.round(places, by: part.factor)
        }
      }
    }
  }
}

/// Some rows of a layer while their codes are chosen.
private struct FeedbackTile {
  let weights: UnsafeMutablePointer<Float>
  /// For each row and input in the factor's order, the sum of `e_j R_ji` so far.
  let sums: UnsafeMutablePointer<Float>
  let errors: UnsafeMutablePointer<Float>
  let codes: UnsafeMutablePointer<Int8>
  let rows: Int
  let length: Int
  let groupSize: Int
  let limit: Float
  var scales = UnsafePointer<Float>(bitPattern: 64)!

  private var groups: Int { (length - 1) / groupSize + 1 }

  /// Inputs between two matrix products.
  private static let inputsOfBlock = 128

  private func code(_ value: Float, _ scale: Float) -> Float {
    scale == 0 ? 0 : min(limit, max(-limit, (value / scale).rounded(.toNearestOrEven)))
  }

  func roundToNearest() {
    for row in 0..<rows {
      for group in 0..<groups {
        let scale = scales[row * groups + group]
        for input in group * groupSize..<min(length, (group + 1) * groupSize) {
          codes[row * length + input] = Int8(code(weights[row * length + input], scale))
        }
      }
    }
  }

  func round(_ places: [Int], by factor: InputFactor) {
    let size = places.count
    if size == 0 { return }
    factor.values.withUnsafeBufferPointer { factor in
      guard let factor = factor.baseAddress else { return }
      sums.update(repeating: 0, count: rows * size)
      for start in stride(from: 0, to: size, by: Self.inputsOfBlock) {
        let end = min(size, start + Self.inputsOfBlock)
        for row in 0..<rows {
          let sums = sums + row * size
          for index in start..<end {
            let place = places[index]
            let weight = weights[row * length + place]
            let scale = scales[row * groups + place / groupSize]
            let line = factor + index * size
            let value = code(weight + sums[index] / line[index], scale)
            codes[row * length + place] = Int8(value)
            let error = weight - value * scale
            errors[row * size + index] = error
            for later in index + 1..<max(index + 1, end) { sums[later] += error * line[later] }
          }
        }
        if end < size {
          multiply(
            Matrix(base: errors + start, stride: size),
            Matrix(base: factor + start * size + end, stride: size), into: sums + end, stride: size,
            m: rows, n: size - end, k: end - start, keep: 1)
        }
      }
    }
  }
}
