import Kernels
import Quantization
import Support
import Tensors
import TestSupport
import Testing

/// The search for scales.
struct SymmetricCodesTests {
  static let ratios: [Float] = (0...40).map { 1 - Float($0) / 100 }

  static func search(limit: Int = 127, group: Int? = nil, ratios: [Float] = ratios) -> ScaleSearch {
    ScaleSearch(limit: limit, groupSize: group, halfScales: group != nil, ratios: ratios)
  }

  @Test(
    arguments: [1, 2, 15, 16, 17, 31, 33, 64, 100, 512, 513, 1200],
    [
      search(), search(limit: 127, group: 64), search(limit: 7, group: 32), search(limit: 31),
      search(limit: 32767, ratios: [1]),
    ])
  func agreesWithTheTwin(rowLength: Int, search: ScaleSearch) {
    var generator = SeededGenerator(UInt64(rowLength))
    let weights = generator.weights(5 * rowLength)
    let stored = StoredTensor(shape: [5, rowLength], floats: weights)
    for meanSquares in [nil, generator.meanSquares(rowLength)] {
      let found = symmetricCodes(of: stored, meanSquares: meanSquares, search: search)
      let twin = RoundingTwin(
        weights, rowLength: rowLength, meanSquares: meanSquares, search: search)
      #expect(found.codes.count == weights.count)
      #expect(found.scales.count == twin.scales.count)
      // The search sums squares in float32, so it may choose another scale with the same error to
      // six digits. With each chosen scale, the codes must be exactly the twin's.
      var sum = 0.0
      var groups = 0
      let step = search.groupSize ?? rowLength
      for row in 0..<5 {
        for start in stride(from: 0, to: rowLength, by: step) {
          let scale = found.scales[groups]
          var error = 0.0
          for column in start..<min(rowLength, start + step) {
            let place = row * rowLength + column
            let code = RoundingTwin.code(weights[place], scale, Float(search.limit))
            #expect(found.codes[place] == code)
            let difference = Double(scale * Float(code)) - Double(weights[place])
            error += Double(meanSquares?[column] ?? 1) * difference * difference
          }
          #expect(error <= twin.errors[groups].chosen * (1 + 1e-5))
          #expect(error <= twin.errors[groups].plain)
          sum += error
          groups += 1
        }
      }
      let scale = Double(meanSquares?.max() ?? 1)
      let reported = meanSquares == nil ? found.chosen.error : found.chosen.weightedError * scale
      #expect(abs(reported - sum) <= 1e-6 * sum)
    }
  }

  @Test func plainRoundingIsAbsmax() {
    let weights: [Float] = [1.27, -0.005, 0.015, -1.0, 0.025, 0]
    let result = symmetricCodes(
      of: StoredTensor(shape: [1, 6], floats: weights), meanSquares: nil,
      search: Self.search(ratios: [1]))
    #expect(result.scales == [Float(1.27) / 127])
    // Ties round to even codes: -0.5 to 0, 1.5 to 2, 2.5 to 2 (0.01 is not exact).
    #expect(
      result.codes
        == RoundingTwin(weights, rowLength: 6, meanSquares: nil, search: Self.search(ratios: [1]))
        .codes)
    #expect(result.codes[0] == 127)
    #expect(result.codes[3] == -100)
    #expect(result.ratios == [1])
    #expect(result.chosen == result.plain)
  }

  @Test func tiesRoundToEvenCodes() {
    // The scale is exactly 1.
    let weights: [Float] = [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]
    let result = symmetricCodes(
      of: StoredTensor(shape: [1, 8], floats: weights), meanSquares: nil,
      search: Self.search(ratios: [1]))
    #expect(result.codes == [127, 0, 2, 2, 0, -2, -2, 126])
  }

  @Test func clipsAnOutlierWithoutInput() {
    var weights = [Float](repeating: 0, count: 64)
    for i in 0..<64 { weights[i] = Float(i % 13) / 100 }
    weights[0] = 0.2
    var meanSquares = [Float](repeating: 1, count: 64)
    meanSquares[0] = 0
    let stored = StoredTensor(shape: [1, 64], floats: weights)
    let search = Self.search(limit: 7, ratios: Self.ratios)
    let calibrated = symmetricCodes(of: stored, meanSquares: meanSquares, search: search)
    let plain = symmetricCodes(
      of: stored, meanSquares: meanSquares, search: Self.search(limit: 7, ratios: [1]))
    #expect(calibrated.ratios[0] < 0.9)
    #expect(calibrated.chosen.weightedError < 0.9 * plain.chosen.weightedError)
  }

  @Test(arguments: [search(), search(limit: 7, group: 32)])
  func rowsOfZeroAndOfTinyNumbersGiveZeroCodes(search: ScaleSearch) {
    let weights = [Float](repeating: 0, count: 64) + [Float](repeating: 5e-38, count: 64)
    let result = symmetricCodes(
      of: StoredTensor(shape: [2, 64], floats: weights), meanSquares: nil, search: search)
    #expect(result.codes.allSatisfy { $0 == 0 })
    #expect(result.scales.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [Float(1e-30), 1e-20, 1, 1e20, 2e38])
  func findsTheSameCodesAtEveryMagnitude(factor: Float) {
    var generator = SeededGenerator(7)
    // Powers of two scale exactly.
    let exact = Float(sign: .plus, exponent: factor.exponent, significand: 1)
    let weights = generator.weights(4 * 200).map { min(1, max(-1, $0)) }
    let one = symmetricCodes(
      of: StoredTensor(shape: [4, 200], floats: weights), meanSquares: nil, search: Self.search())
    let other = symmetricCodes(
      of: StoredTensor(shape: [4, 200], floats: weights.map { $0 * exact }), meanSquares: nil,
      search: Self.search())
    #expect(one.codes == other.codes)
    #expect(one.ratios == other.ratios)
  }

  @Test func tinyGroupsKeepAHalfScaleThatDoesNotClip() throws {
    // Scales of round-to-nearest from 2^-14 down to below the smallest half.
    for exponent in stride(from: -14, through: -23, by: -1) {
      let unit = 1.49 * Float(sign: .plus, exponent: exponent, significand: 1)
      let weights = (0..<32).map { Float($0 * 127 / 31) * unit }
      let result = symmetricCodes(
        of: StoredTensor(shape: [1, 32], floats: weights), meanSquares: nil,
        search: Self.search(group: 32, ratios: [1]))
      #expect(result.scales[0] >= unit * (1 - 0x1p-10))
      #expect(Float(Float16(result.scales[0])) == result.scales[0])
    }
  }

  @Test func doesNotDependOnThreadsOrInstructionSets() {
    var generator = SeededGenerator(11)
    let weights = generator.weights(300 * 1153)
    let meanSquares = generator.meanSquares(1153)
    let stored = StoredTensor(shape: [300, 1153], floats: weights)
    for search in [Self.search(), Self.search(limit: 7, group: 32)] {
      var first: SymmetricCodes?
      for (threads, form) in [(1, 0), (1, 1), (3, 2), (2, 0)] {
        let result = withThreads(threads) {
          withInstructionSet(form) {
            symmetricCodes(of: stored, meanSquares: meanSquares, search: search)
          }
        }
        if let first {
          #expect(result.codes == first.codes)
          #expect(result.scales == first.scales)
          #expect(result.chosen == first.chosen)
          #expect(result.plain == first.plain)
        }
        first = first ?? result
      }
    }
  }

  @Test func acceptsEmptyMatrices() {
    for shape in [[0, 4], [4, 0]] as [Shape] {
      let result = symmetricCodes(
        of: StoredTensor(shape: shape, floats: []), meanSquares: nil, search: Self.search())
      #expect(result.codes.isEmpty)
    }
  }
}

extension ScaleSearch: CustomTestStringConvertible {
  public var testDescription: String { "limit \(limit), group \(groupSize ?? 0)" }
}
