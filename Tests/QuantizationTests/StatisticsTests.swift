import Kernels
import Models
import Quantization
import Support
import Tensors
import TestSupport
import Testing

struct StatisticsTests {
  static func activation(_ extents: [Int], seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed)
    let shape = Shape(extents)
    return Tensor(
      shape: shape,
      values: (0..<shape.count).map { _ in
        generator.normal() * Float.random(in: 0..<4, using: &generator)
      })
  }

  /// Values of one channel of the chosen samples, in order.
  static func channel(_ channel: Int, of x: Tensor, samples: Range<Int>, count: Int) -> [Float] {
    let shape = x.shape
    let rows = samples.lowerBound * shape[0] / count..<samples.upperBound * shape[0] / count
    if shape.rank == 4 {
      let plane = shape[2] * shape[3]
      return rows.flatMap { row in
        x.values[(row * shape[1] + channel) * plane..<(row * shape[1] + channel + 1) * plane]
      }
    }
    let inner = shape.rank == 3 ? shape[1] : 1
    let channels = shape[shape.rank - 1]
    return (rows.lowerBound * inner..<rows.upperBound * inner).map {
      x.values[$0 * channels + channel]
    }
  }

  @Test(
    arguments: [
      [2, 3, 5, 7], [4, 20, 8, 8], [2, 33, 1, 1], [6, 5], [154, 300], [2, 77, 129],
    ],
    [0..<1, 1..<2, 0..<2])
  func summarizesAsDirectComputationDoes(extents: [Int], samples: Range<Int>) {
    let x = Self.activation(extents, seed: UInt64(extents.count))
    let summary = summarize(x, samples: samples, of: 2)
    let channels = extents.count == 4 ? extents[1] : extents[extents.count - 1]
    #expect(summary.maxima.count == channels)
    var histogram = [UInt64](repeating: 0, count: MagnitudeBins.count)
    for channel in 0..<channels {
      let values = Self.channel(channel, of: x, samples: samples, count: 2)
      #expect(summary.positions == values.count)
      #expect(summary.maxima[channel] == values.map(abs).max())
      let squares = values.reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(abs(summary.squareSums[channel] - squares) <= 1e-13 * squares)
      for value in values {
        let edges = (0..<MagnitudeBins.count).last {
          MagnitudeBins.lowerEdge($0) <= Double(abs(value))
        }
        histogram[edges ?? 0] += 1
      }
    }
    #expect(summary.histogram == histogram)
  }

  @Test func summariesDoNotDependOnThreads() {
    let picture = Self.activation([2, 70, 9, 9], seed: 1)
    let rows = Self.activation([154, 700], seed: 2)
    let found = onEveryThreadCount {
      [summarize(picture, samples: 0..<2, of: 2), summarize(rows, samples: 1..<2, of: 2)]
    }
    #expect(found.allSatisfy { $0 == found[0] })
  }

  @Test(arguments: [
    (Float(0), 0), (1e-9, 0), (0x1p-24, 1), (0x1p-23, 9), (1, 193), (1.125, 194), (1.12, 193),
    (-1, 193), (65535, 320), (65536, 321), (1e30, 321), (.infinity, 321),
  ])
  func countsMagnitudesInTheirBins(value: Float, bin: Int) {
    let summary = summarize(Tensor(shape: [1, 1], values: [value]), samples: 0..<1, of: 1)
    #expect(summary.histogram.firstIndex(of: 1) == bin)
    #expect(MagnitudeBins.lowerEdge(bin) <= Double(abs(value)))
  }

  @Test func fixedSumsAreExactInAnyOrder() throws {
    var generator = SeededGenerator(4)
    let values = (0..<500).map { _ in
      Double.random(in: 0..<1, using: &generator)
        * Double(sign: .plus, exponent: Int.random(in: -60...40, using: &generator), significand: 1)
    }
    func sum(_ values: [Double]) throws -> FixedSum {
      var total = FixedSum()
      for value in values { check(total.add(try #require(FixedSum(value)))) }
      return total
    }
    let forward = try sum(values)
    #expect(try sum(values.reversed()) == forward)
    #expect(try sum(values.shuffled(using: &generator)) == forward)
    #expect(abs(forward.value - values.reduce(0, +)) <= 1e-12 * forward.value)
    #expect(FixedSum(0.5) == FixedSum(whole: 0, fraction: 1 << 63))
    #expect(FixedSum(3.25) == FixedSum(whole: 3, fraction: 1 << 62))
    #expect(FixedSum(0x1p-64) == FixedSum(whole: 0, fraction: 1))
  }

  @Test(arguments: [-1, .nan, .infinity, 0x1p64, -0x1p-80])
  func fixedSumsRefuseValuesOutOfRange(value: Double) {
    #expect(FixedSum(value) == nil)
  }

  @Test func fixedSumsNoticeOverflow() {
    var sum = FixedSum(whole: .max, fraction: .max)
    check(!sum.add(FixedSum(whole: 0, fraction: 1)))
    #expect(sum == FixedSum(whole: .max, fraction: .max))
    var half = FixedSum(whole: .max, fraction: 0)
    check(!half.add(FixedSum(whole: 1, fraction: 0)))
    check(half.add(FixedSum(whole: 0, fraction: 5)))
  }

  @Test func bandsDivideTheTimesteps() throws {
    let bands = TimestepBands()
    #expect(bands.boundaries == [0, 250, 500, 750, 1000])
    #expect(
      [-1, 0, 249.9, 250, 500, 749, 750, 999, 1000].map { bands.band(of: $0) } == [
        0, 0, 0, 1, 2, 2, 3, 3, 3,
      ])
    #expect(TimestepBands(count: 3, of: 1000).boundaries == [0, 333, 666, 1000])
    #expect(TimestepBands(count: 1).band(of: 700) == 0)
    #expect(TimestepBands(boundaries: [0]) == nil)
    #expect(TimestepBands(boundaries: [0, 5, 5]) == nil)
    #expect(TimestepBands(boundaries: [0, 250, 500, 750, 1000]) == bands)
  }

  /// Statistics of a module with an activation for each call.
  static func statistics(_ calls: Range<Int>) -> ModuleStatistics {
    var statistics = ModuleStatistics(channels: 20, bands: 4)
    for call in calls {
      let x = activation([1, 20, 6, 5], seed: UInt64(call))
      let summary = summarize(x, samples: 0..<1, of: 1)
      let result = statistics.add(
        summary, band: call % 4, branch: call % 3 == 0 ? .conditional : .unconditional)
      #expect(result == .added)
    }
    return statistics
  }

  @Test func mergingIsExactInAnyOrder() {
    let all = Self.statistics(0..<9)
    for cut in 0...9 {
      var left = Self.statistics(0..<cut)
      check(left.merge(Self.statistics(cut..<9)))
      #expect(left == all)
      var right = Self.statistics(cut..<9)
      check(right.merge(Self.statistics(0..<cut)))
      #expect(right == all)
    }
  }

  @Test func mergingThreePartsIsExactInAnyOrder() {
    let all = Self.statistics(0..<9)
    let parts = [0..<2, 2..<5, 5..<9]
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
      var merged = Self.statistics(parts[order[0]])
      for part in order.dropFirst() { check(merged.merge(Self.statistics(parts[part]))) }
      #expect(merged == all)
    }
  }

  @Test func separatesBandsAndBranches() throws {
    var statistics = ModuleStatistics(channels: 2, bands: 2)
    func add(_ values: [Float], _ band: Int, _ branch: GuidanceBranch) {
      let x = Tensor(shape: [values.count / 2, 2], values: values)
      let result = statistics.add(
        summarize(x, samples: 0..<1, of: 1), band: band, branch: branch)
      #expect(result == .added)
    }
    add([1, 2, -3, 4], 0, .unconditional)
    add([5, 6], 1, .conditional)
    #expect(statistics.maxima == [3, 4, 0, 0, 0, 0, 5, 6])
    // 1 + 9, 4 + 16; the mean squares are over three rows.
    #expect(statistics.squareSums.map(\.value) == [10, 20, 0, 0, 0, 0, 25, 36])
    #expect(statistics.meanSquares() == [35.0 / 3, 56.0 / 3])
    #expect(ModuleStatistics(channels: 2, bands: 2).meanSquares() == nil)
    #expect(statistics.positions == [2, 0, 0, 1])
  }

  @Test func refusesNonfiniteInputs() {
    for value in [Float.nan, .infinity] {
      var statistics = ModuleStatistics(channels: 1, bands: 1)
      let summary = summarize(Tensor(shape: [2, 1], values: [1, value]), samples: 0..<1, of: 1)
      let result = statistics.add(summary, band: 0, branch: .conditional)
      #expect(result == .nonfinite)
    }
  }

  /// Inputs are finite, but their squares reach 2^64, at once or in two calls.
  @Test func tellsLargeSumsFromNonfiniteInputs() {
    var statistics = ModuleStatistics(channels: 1, bands: 1)
    func add(_ value: Float) -> ModuleStatistics.Addition {
      statistics.add(
        summarize(Tensor(shape: [1, 1], values: [value]), samples: 0..<1, of: 1), band: 0,
        branch: .conditional)
    }
    let results = [add(0x1p31), add(0x1.8p31), add(0x1.cp31), add(1e30)]
    #expect(results == [.added, .added, .overflow, .overflow])
  }

  @Test func refusesArraysOfOtherSizes() {
    let whole = Self.statistics(0..<2)
    #expect(
      ModuleStatistics(
        channels: 20, bands: 4, maxima: whole.maxima, squareSums: whole.squareSums,
        positions: whole.positions, histogram: whole.histogram) == whole)
    #expect(
      ModuleStatistics(
        channels: 20, bands: 4, maxima: Array(whole.maxima.dropLast()),
        squareSums: whole.squareSums,
        positions: whole.positions, histogram: whole.histogram) == nil)
  }
}

extension MagnitudeBins {
  /// The lower edge of a bin; 0 for the first.
  fileprivate static func lowerEdge(_ bin: Int) -> Double {
    if bin == 0 { return 0 }
    let octave = (bin - 1) / 8 - 24
    return (1 + Double((bin - 1) % 8) / 8) * Double(sign: .plus, exponent: octave, significand: 1)
  }
}
