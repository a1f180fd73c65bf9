import Kernels

/// A reference implementation of `symmetricCodes` in plain Swift and float64.
struct RoundingTwin {
  var codes: [Int16] = []
  var scales: [Float] = []
  /// Weighted squared error of each group, with the chosen scale and with that of round-to-nearest.
  var errors: [(chosen: Double, plain: Double)] = []

  init(
    _ weights: [Float], rowLength: Int, meanSquares: [Float]?, search: ScaleSearch
  ) {
    let limit = Float(search.limit)
    let step = search.groupSize ?? rowLength
    for start in stride(from: 0, to: weights.count, by: rowLength) {
      for group in stride(from: 0, to: rowLength, by: step) {
        let columns = group..<min(rowLength, group + step)
        let values = columns.map { weights[start + $0] }
        let importance = columns.map { Double(meanSquares?[$0] ?? 1) }
        let unit = (values.map(abs).max() ?? 0) / limit
        guard unit.isNormal else {
          codes += values.map { _ in 0 }
          scales.append(0)
          errors.append((0, 0))
          continue
        }
        let candidates = search.ratios.map { Self.stored($0 * unit, half: search.halfScales) }
        let measured = candidates.map { scale in
          zip(values, importance).reduce(0.0) { sum, pair in
            let error = Double(scale * Float(Self.code(pair.0, scale, limit))) - Double(pair.0)
            return sum + pair.1 * error * error
          }
        }
        let best = measured.indices.min { measured[$0] < measured[$1] } ?? 0
        codes += values.map { Self.code($0, candidates[best], limit) }
        scales.append(candidates[best])
        errors.append((measured[best], measured[0]))
      }
    }
  }

  static func code(_ value: Float, _ scale: Float, _ limit: Float) -> Int16 {
    Int16(min(limit, max(-limit, value / scale)).rounded(.toNearestOrEven))
  }

  static func stored(_ scale: Float, half: Bool) -> Float {
    guard half else { return scale }
    let nearest = Float16(scale)
    return Float(Float(nearest) < scale * (1 - 0x1p-10) ? nearest.nextUp : nearest)
  }
}
