private import CKernels
internal import Support
package import Tensors

/// A matrix as symmetric integer codes with scales, and the rounding error.
package struct SymmetricCodes: Sendable {
  /// One code for each weight, row-major, as int16 for any bit width.
  package let codes: [Int16]
  /// The scales, row by row and group by group.
  package let scales: [Float]
  /// For each of ``scales``, the ratio of the chosen scale to the scale of rounding to nearest.
  package let ratios: [Float]
  /// The sums with the chosen scales.
  package let chosen: RoundingSums
  /// The sums of rounding to nearest, whose scale maps the largest magnitude to the largest code.
  package let plain: RoundingSums

  package init(
    codes: [Int16], scales: [Float], ratios: [Float], chosen: RoundingSums, plain: RoundingSums
  ) {
    self.codes = codes
    self.scales = scales
    self.ratios = ratios
    self.chosen = chosen
    self.plain = plain
  }
}

/// The sums of squares of weights and of their rounding errors, in float64.
package struct RoundingSums: Sendable, Equatable {
  package var signal = 0.0
  package var error = 0.0
  /// The sums with every square multiplied by the mean square of its input; 0 without calibration.
  package var weightedSignal = 0.0
  package var weightedError = 0.0

  package init(
    signal: Double = 0, error: Double = 0, weightedSignal: Double = 0, weightedError: Double = 0
  ) {
    self.signal = signal
    self.error = error
    self.weightedSignal = weightedSignal
    self.weightedError = weightedError
  }
}

/// The grid of codes, and the candidates for the scale of each group.
package struct ScaleSearch: Sendable {
  /// The largest code, for example 127 or 7; at most 32767.
  package var limit: Int
  /// The consecutive weights of a row that share a scale; `nil` for one scale for each row.
  package var groupSize: Int?
  /// Whether scales are rounded to float16, the kind in which group scales are stored.
  package var halfScales: Bool
  /// The candidates, as ratios to the scale of rounding to nearest. The ratio 1 is always tried.
  package var ratios: [Float]
  /// The scale of each row, where the scales are given and not searched; else `nil`.
  package var rowScales: [Float]?

  package init(
    limit: Int, groupSize: Int?, halfScales: Bool, ratios: [Float], rowScales: [Float]? = nil
  ) {
    self.limit = limit
    self.groupSize = groupSize
    self.halfScales = halfScales
    self.ratios = ratios
    self.rowScales = rowScales
  }
}

/// Quantizes `weights` with the scales that minimize the squared rounding error.
///
/// For each row, or group of a row, the scale is `r * max|w| / limit` for the `r` among
/// `search.ratios` (and 1) with the least `sum of e_k (scale * q_k - w_k)^2`. Here `q =
/// clamp(roundHalfToEven(w / scale), -limit, limit)`, and `e` are the mean squares of the inputs,
/// or 1 without calibration.
///
/// The search compares float32 sums. The best candidate is then compared in float64 with rounding
/// to nearest, which is kept unless it is worse. A group whose scale is not a normal number (all
/// weights are below `limit * 2^-126`) gets scale 0 and codes 0. A float16 scale is never rounded
/// to 0; in the subnormal range it is rounded up if the nearest value would clip weights.
///
/// Given scales (``ScaleSearch/rowScales``) are used as they are, and the sums of rounding to nearest
/// are those of the same scales.
///
/// The result does not depend on the number of threads or the instruction set.
///
/// - Parameter meanSquares: one for each weight of a row, not negative; `nil` means all 1.
/// - Precondition: all weights are finite, `meanSquares` has the length of a row, and given scales are
///   one for each row, without groups.
package func symmetricCodes(
  of weights: StoredTensor, meanSquares: [Float]?, search: ScaleSearch
) -> SymmetricCodes {
  let rows = weights.shape.rows
  let length = weights.shape.rowLength
  precondition(
    meanSquares == nil || meanSquares?.count == length,
    "\(meanSquares?.count ?? 0) mean squares for rows of \(length)")
  precondition(
    search.rowScales.map { $0.count == rows && search.groupSize == nil } ?? true,
    "\(search.rowScales?.count ?? 0) scales for \(rows) rows")
  let groups = length == 0 ? 0 : (length - 1) / (search.groupSize ?? length) + 1
  let importance = meanSquares.flatMap(normalized)
  // Rounding to nearest is first, and the earlier candidate wins a tie.
  let ratios = [1] + search.ratios.filter { $0 != 1 }
  // Small blocks keep widened weights in the cache. Their number depends on the shape alone.
  let rowsOfBlock = max(1, (1 << 16) / max(1, length))
  let blocks = rows == 0 || length == 0 ? 0 : (rows - 1) / rowsOfBlock + 1

  var scales = [Float](repeating: 0, count: rows * groups)
  var chosenRatios = [Float](repeating: 1, count: rows * groups)
  var sums = [GroupSums](repeating: GroupSums(), count: rows)
  let codes = [Int16](unsafeUninitializedCapacity: rows * length) { codes, count in
    count = rows * length
    let codeRows = DisjointSlices(codes)
    scales.withUnsafeMutableBufferPointer { scales in
      chosenRatios.withUnsafeMutableBufferPointer { chosenRatios in
        sums.withUnsafeMutableBufferPointer { sums in
          let scaleRows = DisjointSlices(scales)
          let ratioRows = DisjointSlices(chosenRatios)
          let sumRows = DisjointSlices(sums)
          parallel(blocks) { block in
            let range = block * rowsOfBlock..<min(rows, (block + 1) * rowsOfBlock)
            let widened = [Float](unsafeUninitializedCapacity: range.count * length) {
              var target = MutableSpan(_unsafeElements: $0)
              weights.widen(rows: range, into: &target)
              $1 = range.count * length
            }
            var worker = GroupRounding(search: search, ratios: ratios)
            for row in range {
              for group in 0..<groups {
                let start = group * (search.groupSize ?? length)
                let columns = start..<min(length, start + (search.groupSize ?? length))
                let offset = (row - range.lowerBound) * length
                let result = worker.round(
                  widened.span.extracting(offset + start..<offset + columns.upperBound),
                  meanSquares: importance?.span.extracting(columns),
                  scale: search.rowScales?[row],
                  into: codeRows[row * length + start..<row * length + columns.upperBound])
                scaleRows[row * groups + group] = result.scale
                ratioRows[row * groups + group] = result.ratio
                sumRows[row].add(result.sums)
              }
            }
          }
        }
      }
    }
  }
  let total = sums.reduce(into: GroupSums()) { $0.add($1) }
  return SymmetricCodes(
    codes: codes, scales: scales, ratios: chosenRatios, chosen: total.chosen, plain: total.plain)
}

/// Mean squares divided by the largest, so that float32 sums of them neither overflow nor
/// underflow; `nil` when all are 0.
private func normalized(_ meanSquares: [Float]) -> [Float]? {
  guard let largest = meanSquares.max(), largest > 0 else { return nil }
  return meanSquares.map { $0 / largest }
}

private struct GroupSums: Sendable {
  var chosen = RoundingSums()
  var plain = RoundingSums()

  mutating func add(_ other: GroupSums) {
    chosen.add(other.chosen)
    plain.add(other.plain)
  }
}

extension RoundingSums {
  package mutating func add(_ other: RoundingSums) {
    signal += other.signal
    error += other.error
    weightedSignal += other.weightedSignal
    weightedError += other.weightedError
  }
}

/// Quantizes groups of weights, with reusable buffers.
private struct GroupRounding {
  let search: ScaleSearch
  let ratios: [Float]
  private let limit: Float
  private var errors: [Double]
  /// Reused, for there may be a hundred million groups.
  private var sums = [0.0, 0, 0, 0]
  private var scales: [Float]
  private var halves: [UInt16]
  private var relative: [Float]

  init(search: ScaleSearch, ratios: [Float]) {
    self.search = search
    self.ratios = ratios
    limit = Float(search.limit)
    errors = [Double](repeating: 0, count: ratios.count)
    scales = ratios
    relative = ratios
    halves = [UInt16](repeating: 0, count: ratios.count)
  }

  struct Result {
    var scale: Float = 0
    var ratio: Float = 1
    var sums = GroupSums()
  }

  /// - Parameter scale: the scale to use; `nil` searches it.
  mutating func round(
    _ weights: Span<Float>, meanSquares: Span<Float>?, scale: Float?,
    into codes: UnsafeMutableBufferPointer<Int16>
  ) -> Result {
    var result = Result()
    if let scale, scale.isNormal {
      result.scale = scale
      narrow(weights, scale: scale, into: codes)
      result.sums.plain = measure(weights, meanSquares, codes, scale: scale)
      result.sums.chosen = result.sums.plain
      return result
    }
    let unit = weights.withUnsafeBufferPointer { weights in
      weights.baseAddress.map { decant_largest_magnitude($0, weights.count) / limit } ?? 0
    }
    guard unit.isNormal else {
      codes.update(repeating: 0)
      result.sums.plain = measure(weights, meanSquares, codes, scale: 0)
      result.sums.chosen = result.sums.plain
      return result
    }
    findScales(unit: unit)
    result.scale = scales[0]
    narrow(weights, scale: scales[0], into: codes)
    result.sums.plain = measure(weights, meanSquares, codes, scale: scales[0])
    result.sums.chosen = result.sums.plain
    guard ratios.count > 1 else { return result }

    let best = bestCandidate(weights, meanSquares, unit: unit)
    guard scales[best] != scales[0] else { return result }
    withUnsafeTemporaryAllocation(of: Int16.self, capacity: codes.count) { candidate in
      narrow(weights, scale: scales[best], into: candidate)
      let sums = measure(weights, meanSquares, candidate, scale: scales[best])
      let isBetter =
        meanSquares == nil
        ? sums.error < result.sums.plain.error
        : sums.weightedError < result.sums.plain.weightedError
      guard isBetter else { return }
      _ = codes.update(fromContentsOf: candidate)
      result.scale = scales[best]
      result.ratio = ratios[best]
      result.sums.chosen = sums
    }
    return result
  }

  /// Fills ``scales`` with the candidates in the precision in which they are stored.
  private mutating func findScales(unit: Float) {
    for index in ratios.indices { scales[index] = ratios[index] * unit }
    guard search.halfScales else { return }
    decant_f32_to_f16(scales, &halves, scales.count)
    for index in scales.indices {
      let half = Float16(bitPattern: halves[index])
      let isFarBelow = Float(half) < scales[index] * (1 - 0x1p-10)
      // A subnormal float16 far below the scale would clip weights; the next larger one does not. A
      // scale above the largest float16 is kept, and the caller rejects it.
      let stored = isFarBelow ? half.nextUp : half
      if stored.isFinite { scales[index] = Float(stored) }
    }
  }

  private mutating func bestCandidate(
    _ weights: Span<Float>, _ meanSquares: Span<Float>?, unit: Float
  ) -> Int {
    for index in ratios.indices {
      errors[index] = 0
      relative[index] = scales[index] / unit
    }
    weights.withUnsafeBufferPointer { weights in
      guard let base = weights.baseAddress else { return }
      func run(_ meanSquares: UnsafePointer<Float>?) {
        decant_scale_errors(
          base, meanSquares, weights.count, unit, limit, relative, ratios.count, &errors)
      }
      if let meanSquares {
        meanSquares.withUnsafeBufferPointer { run($0.baseAddress) }
      } else {
        run(nil)
      }
    }
    return errors.indices.min { errors[$0] < errors[$1] } ?? 0
  }

  private func narrow(
    _ weights: Span<Float>, scale: Float, into codes: UnsafeMutableBufferPointer<Int16>
  ) {
    weights.withUnsafeBufferPointer { weights in
      guard let base = weights.baseAddress, let output = codes.baseAddress else { return }
      decant_symmetric_codes(base, weights.count, scale, limit, output)
    }
  }

  private mutating func measure(
    _ weights: Span<Float>, _ meanSquares: Span<Float>?, _ codes: UnsafeMutableBufferPointer<Int16>,
    scale: Float
  ) -> RoundingSums {
    for index in sums.indices { sums[index] = 0 }
    weights.withUnsafeBufferPointer { weights in
      guard let base = weights.baseAddress, let codes = UnsafePointer(codes.baseAddress) else {
        return
      }
      if let meanSquares {
        meanSquares.withUnsafeBufferPointer {
          decant_code_error(base, $0.baseAddress, codes, weights.count, scale, &sums)
        }
      } else {
        decant_code_error(base, nil, codes, weights.count, scale, &sums)
      }
    }
    return RoundingSums(
      signal: sums[0], error: sums[1], weightedSignal: sums[2], weightedError: sums[3])
  }
}
