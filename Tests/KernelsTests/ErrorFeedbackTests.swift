import Kernels
import Support
import Tensors
import Testing

/// Second moments, their factor, and codes with error feedback, each against its definition.
struct ErrorFeedbackTests {
  /// Inputs with strong correlations: each is a mix of its neighbours.
  private static func inputs(rows: Int, count: Int, seed: Int) -> [Float] {
    var noise = Numbers(seed: seed)
    var values: [Float] = []
    for _ in 0..<rows {
      var last: Float = 0
      for input in 0..<count {
        last = 0.7 * last + noise.float() * Float(1 + input % 5)
        values.append(last)
      }
    }
    return values
  }

  /// The full matrix of second moments, in float64.
  private static func moments(_ rows: [Float], count: Int) -> [[Double]] {
    var sums = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    for start in stride(from: 0, to: rows.count, by: count) {
      for i in 0..<count {
        for j in 0..<count { sums[i][j] += Double(rows[start + i]) * Double(rows[start + j]) }
      }
    }
    return sums
  }

  @Test(arguments: [(1, 3), (40, 24), (513, 300)])
  func `moments are sums of products`(rows: Int, count: Int) {
    let values = Self.inputs(rows: rows, count: count, seed: 1)
    let expected = Self.moments(values, count: count)
    var found = InputMoments(count: count)
    found.add(Array(values.prefix(rows / 2 * count)))
    found.add(Array(values.suffix((rows - rows / 2) * count)))
    var one = InputMoments(count: count)
    Threads.withCount(1) {
      one.add(Array(values.prefix(rows / 2 * count)))
      one.add(Array(values.suffix((rows - rows / 2) * count)))
    }
    #expect(one.sums == found.sums)
    for i in 0..<count {
      for j in 0...i {
        let value = found.sums[i * (i + 1) / 2 + j]
        let scale = (expected[i][i] * expected[j][j]).squareRoot()
        #expect(abs(value - expected[i][j]) <= 1e-5 * scale)
      }
    }
  }

  @Test func `weights of rows scale the moments`() {
    let values = Self.inputs(rows: 6, count: 4, seed: 2)
    var (plain, weighted) = (InputMoments(count: 4), InputMoments(count: 4))
    plain.add(values)
    weighted.add(values, weight: 2.5)
    #expect(weighted.sums == plain.sums.map { $0 * 2.5 })
  }

  /// GPTQ as its paper has it: the Cholesky factor of the inverse, in float64.
  private static func textbook(
    _ weights: [Float], _ moments: [[Double]], damping: Double, scale: Float, limit: Float
  ) -> [Int16] {
    let count = moments.count
    let mean = (0..<count).reduce(0) { $0 + moments[$1][$1] } / Double(count)
    let order = (0..<count).sorted { (moments[$1][$1], $0) < (moments[$0][$0], $1) }
    var matrix = order.map { i in order.map { j in moments[i][j] } }
    for i in 0..<count { matrix[i][i] += damping * mean }
    let factor = upperFactor(inverse(matrix))
    var values = order.map { Double(weights[$0]) }
    var codes = [Int16](repeating: 0, count: count)
    for i in 0..<count {
      let code = (Float(values[i]) / scale).rounded(.toNearestOrEven)
      let clamped = min(limit, max(-limit, code))
      codes[order[i]] = Int16(clamped)
      let error = (values[i] - Double(clamped * scale)) / factor[i][i]
      for j in i..<count { values[j] -= error * factor[i][j] }
    }
    return codes
  }

  private static func inverse(_ matrix: [[Double]]) -> [[Double]] {
    let count = matrix.count
    var rows = matrix.indices.map { i in matrix[i] + matrix.indices.map { $0 == i ? 1 : 0 } }
    for i in 0..<count {
      let pivot = rows[i][i]
      rows[i] = rows[i].map { $0 / pivot }
      for j in 0..<count where j != i {
        let multiple = rows[j][i]
        rows[j] = zip(rows[j], rows[i]).map { $0 - multiple * $1 }
      }
    }
    return rows.map { Array($0.suffix(count)) }
  }

  /// The upper triangular U with `matrix = Uᵀ U`.
  private static func upperFactor(_ matrix: [[Double]]) -> [[Double]] {
    let count = matrix.count
    var factor = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    for i in 0..<count {
      let squares = (0..<i).reduce(0) { $0 + factor[$1][i] * factor[$1][i] }
      factor[i][i] = (matrix[i][i] - squares).squareRoot()
      for j in i + 1..<max(i + 1, count) {
        let products = (0..<i).reduce(0) { $0 + factor[$1][i] * factor[$1][j] }
        factor[i][j] = (matrix[i][j] - products) / factor[i][i]
      }
    }
    return factor
  }

  /// Codes of rounding to nearest on given scales, with sums of no use.
  private static func plain(
    _ weights: [Float], length: Int, scales: [Float], limit: Float, groupSize: Int
  ) -> SymmetricCodes {
    let groups = (length - 1) / groupSize + 1
    let codes = weights.indices.map { index in
      let scale = scales[index / length * groups + index % length / groupSize]
      return Int16(max(-limit, min(limit, (weights[index] / scale).rounded(.toNearestOrEven))))
    }
    return SymmetricCodes(
      codes: codes, scales: scales, ratios: scales.map { _ in 1 }, chosen: RoundingSums(),
      plain: RoundingSums())
  }

  @Test(arguments: [Float(127), 31, 15, 32767])
  func `codes are those of GPTQ's inverse form`(limit: Float) throws {
    let (count, rows) = (200, 70)
    let values = Self.inputs(rows: 900, count: count, seed: 3)
    var moments = InputMoments(count: count)
    moments.add(values)
    let expected = Self.moments(values, count: count)
    var numbers = Numbers(seed: 4)
    let weights = numbers.floats(rows * count)
    let tensor = StoredTensor(shape: [rows, count], floats: weights, as: .f32)
    let scales = try (0..<rows).map { row in
      try #require(weights[row * count..<(row + 1) * count].map(abs).max()) / limit
    }
    let start = Self.plain(weights, length: count, scales: scales, limit: limit, groupSize: count)
    let factor = try #require(moments.factored(damping: 0.01))
    let blocks = [FeedbackBlock(inputs: Array(0..<count), factor: factor)]
    func codes() -> SymmetricCodes {
      feedingErrorsBack(
        blocks, of: tensor, starting: start, plain: start, limit: Int(limit), groupSize: nil)
    }
    let found = codes()
    let single = Threads.withCount(1) { codes() }
    #expect(found.codes == single.codes)
    #expect(found.chosen == single.chosen)
    var same = 0
    for row in 0..<rows {
      let codes = Self.textbook(
        Array(weights[row * count..<(row + 1) * count]), expected, damping: 0.01,
        scale: scales[row], limit: limit)
      // Rounding errors of float32 sums are a tenth of a step of int16.
      let near = limit > 127 ? 1 : 0
      same += (0..<count).count { abs(codes[$0] - found.codes[row * count + $0]) <= near }
    }
    // Float32 sums decide a few values that lie between two codes.
    #expect(Double(same) > 0.995 * Double(rows * count))
    #expect(found.codes.contains { abs(Float($0)) > limit / 2 })
  }

  @Test func `feedback lowers the error of the output, which is measured`() throws {
    let (count, rows) = (96, 8)
    let values = Self.inputs(rows: 400, count: count, seed: 5)
    var moments = InputMoments(count: count)
    moments.add(values)
    var numbers = Numbers(seed: 6)
    let weights = numbers.floats(rows * count)
    let tensor = StoredTensor(shape: [rows, count], floats: weights, as: .f32)
    let scales = [Float](repeating: 0.25, count: rows * 3)
    /// The squared error of the layer's output, or its squared output for `nil`.
    func outputSquares(_ codes: [Int16]?) -> Double {
      var sum = 0.0
      for start in stride(from: 0, to: values.count, by: count) {
        for row in 0..<rows {
          var output = 0.0
          for input in 0..<count {
            let index = row * count + input
            let rounded = codes.map { Float($0[index]) * 0.25 } ?? 0
            output += Double(values[start + input]) * Double(weights[index] - rounded)
          }
          sum += output * output
        }
      }
      return sum
    }
    let start = Self.plain(weights, length: count, scales: scales, limit: 7, groupSize: 32)
    func codes(_ blocks: [FeedbackBlock]) -> SymmetricCodes {
      feedingErrorsBack(
        blocks, of: tensor, starting: start, plain: start, limit: 7, groupSize: 32)
    }
    #expect(codes([]).codes == start.codes)
    let factor = try #require(moments.factored(damping: 1e-4))
    let found = codes([FeedbackBlock(inputs: Array(0..<count), factor: factor)])
    let plainError = outputSquares(start.codes)
    #expect(outputSquares(found.codes) < 0.5 * plainError)
    // The factor is of the moments divided by the mean of their diagonal, with damping.
    let unit = moments.squares.reduce(0, +) / Double(count)
    for (sum, expected) in [
      (found.chosen.weightedError, outputSquares(found.codes)),
      (found.plain.weightedError, plainError),
      (found.chosen.weightedSignal, outputSquares(nil)),
      (found.plain.weightedSignal, outputSquares(nil)),
    ] {
      #expect(abs(sum * unit - expected) < 0.02 * expected)
    }
    let squaredError = weights.indices.reduce(0.0) {
      let error = Double(weights[$1]) - Double(found.codes[$1]) * 0.25
      return $0 + error * error
    }
    #expect(abs(found.chosen.error - squaredError) < 1e-5 * squaredError)
    // Two halves, each with its own factor, lie between.
    let halves = try [0..<48, 48..<96].map { range in
      var part = InputMoments(count: 48)
      part.add(
        stride(from: 0, to: values.count, by: count).flatMap {
          Array(values[$0 + range.lowerBound..<$0 + range.upperBound])
        })
      return FeedbackBlock(
        inputs: Array(range), factor: try #require(part.factored(damping: 1e-4)))
    }
    #expect(outputSquares(codes(halves).codes) < 0.7 * plainError)
  }

  @Test func `inputs that are always zero keep their codes`() throws {
    var values = Self.inputs(rows: 50, count: 8, seed: 7)
    for start in stride(from: 0, to: values.count, by: 8) { values[start + 3] = 0 }
    var moments = InputMoments(count: 8)
    moments.add(values)
    let factor = try #require(moments.factored(damping: 0.01))
    #expect(Set(factor.order) == Set([0, 1, 2, 4, 5, 6, 7]))
    let weights: [Float] = [0.31, -0.9, 0.52, 0.77, 0.11, -0.2, 0.6, 0.05]
    let start = Self.plain(weights, length: 8, scales: [0.1], limit: 127, groupSize: 8)
    let found = feedingErrorsBack(
      [FeedbackBlock(inputs: Array(0..<8), factor: factor)],
      of: StoredTensor(shape: [1, 8], floats: weights, as: .f32), starting: start, plain: start,
      limit: 127, groupSize: nil)
    #expect(found.codes[3] == 8)
  }

  @Test func `a matrix that is not positive definite has no factor`() {
    var moments = InputMoments(count: 3)
    moments.add([1, 1, 1])
    #expect(moments.factored(damping: 0) == nil)
    #expect(moments.factored(damping: 0.1) != nil)
  }
}
