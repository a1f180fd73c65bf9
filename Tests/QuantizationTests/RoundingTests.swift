import Foundation
import Kernels
import ModelSources
import Models
import Quantization
import Synchronization
import Tensors
import Testing

/// Tests of the list of rounding methods, and of what a method receives.
struct RoundingTests {
  /// A method that gives the largest code everywhere and records its arguments.
  private final class RecordingMethod: RoundingMethod {
    struct Call: Equatable {
      let shape: Shape
      let firstWeight: Float
      let grid: QuantizationGrid
      let statistics: LayerStatistics?
    }

    let name = "recording"
    let summary = "records its arguments"
    let usesStatistics = true
    private let state = Mutex<[Call]>([])

    var calls: [Call] { state.withLock { $0 } }

    func round(
      _ weights: StoredTensor, to grid: QuantizationGrid, statistics: LayerStatistics?
    ) -> RoundedWeights {
      let call = Call(
        shape: weights.shape, firstWeight: weights.floats()[0], grid: grid,
        statistics: statistics)
      state.withLock { $0.append(call) }
      let length = weights.shape.rowLength
      let groups = grid.groupSize.map { (length + $0 - 1) / $0 } ?? 1
      return RoundedWeights(
        codes: [Int16](repeating: Int16(grid.largestCode), count: weights.shape.count),
        scales: [Float](repeating: 0.5, count: weights.shape.rows * groups),
        figures: RoundingFigures(sqnr: 1, weightedSQNR: 2, plainSQNR: 3, plainWeightedSQNR: 4))
    }
  }

  @Test func everyMethodHasItsOwnName() {
    let names = RoundingMethods.all.map(\.name)
    #expect(names.prefix(2) == ["round", "mse"])
    #expect(Set(names).count == names.count)
    #expect(RoundingMethods.all.map(\.usesStatistics).prefix(2) == [false, true])
    #expect(RoundingMethods.standard(hasMoments: false).name == "mse")
    for method in RoundingMethods.all {
      #expect(RoundingMethods.named(method.name)?.name == method.name)
      #expect(!method.summary.isEmpty)
    }
    #expect(RoundingMethods.named("luck") == nil)
  }

  @Test(
    arguments: [
      ("int8", 127, nil, ElementKind.f32), ("int8-g32", 127, 32, .f16), ("int8-g64", 127, 64, .f16),
      ("int8-g128", 127, 128, .f16), ("int16", 32767, nil, .f32), ("int6", 31, nil, .f32),
      ("int5", 15, nil, .f32), ("int5-g32", 15, 32, .f16), ("int4-g32", 7, 32, .f16),
      ("int4-g64", 7, 64, .f16),
    ] as [(String, Int, Int?, ElementKind)])
  func schemesStateTheirGrid(
    name: String, largestCode: Int, groupSize: Int?, scaleKind: ElementKind
  ) throws {
    let scheme = try #require(Schemes.named(name) as? any IntegerScheme)
    #expect(
      scheme.grid
        == QuantizationGrid(
          largestCode: largestCode, groupSize: groupSize, scaleKind: scaleKind))
  }

  /// A method that does not measure its error, as one that only corrects codes. It rounds towards
  /// zero.
  private struct UnmeasuredMethod: RoundingMethod {
    let name = "unmeasured"
    let summary = "rounds towards zero"
    let usesStatistics = false

    func round(
      _ weights: StoredTensor, to grid: QuantizationGrid, statistics: LayerStatistics?
    ) -> RoundedWeights {
      let floats = weights.floats()
      return RoundedWeights(
        codes: floats.map { Int16($0 / 0.5) },
        scales: [Float](repeating: 0.5, count: weights.shape.rows))
    }
  }

  @Test func theErrorOfAMethodThatDoesNotMeasureItIsMeasured() throws {
    let scheme = try #require(Schemes.named("int8"))
    let weights = StoredTensor(shape: [2, 2], floats: [1, 0.75, -2.25, 63.5])
    let statistics = LayerStatistics(meanSquares: [4, 1])
    let encoded = try scheme.encode(
      weights, method: UnmeasuredMethod(), statistics: statistics)
    #expect(encoded.tensor.floats() == [1, 0.5, -2, 63.5])
    let plain = try scheme.encode(
      weights, method: try method("round"), statistics: statistics
    ).figures
    // Both errors are 0.25; only the second counts four times.
    let signal = 1 + 0.5625 + 5.0625 + 63.5 * 63.5
    let weighted = 4 * (1 + 5.0625) + 0.5625 + 63.5 * 63.5
    #expect(abs(encoded.figures.sqnr - 10 * log10(signal / 0.125)) < 1e-9)
    let found = try #require(encoded.figures.weightedSQNR)
    #expect(abs(found - 10 * log10(weighted / (5 * 0.0625))) < 1e-9)
    #expect(encoded.figures.plainSQNR == plain.sqnr)
    #expect(encoded.figures.plainWeightedSQNR == plain.weightedSQNR)
    #expect(encoded.figures.clip == nil)
    let uncalibrated = try scheme.encode(weights, method: UnmeasuredMethod(), statistics: nil)
    #expect(uncalibrated.figures.sqnr == encoded.figures.sqnr)
    #expect(uncalibrated.figures.weightedSQNR == nil)
  }

  /// The plan's method rounds each quantized layer, with the grid of the layer's own scheme and the
  /// calibration statistics of the layer's own input. The result stores its codes and scales.
  @Test func methodsReceiveGridAndStatisticsOfEachLayer() throws {
    let modules = SourceTests.modules + [SourceTests.module("last", .linear, .linear, [3, 40])]
    var generator = SeededGenerator(8)
    let base = MemorySource(
      location: "unet",
      modules.tensors.map {
        ($0.name, StoredTensor(shape: $0.shape, floats: generator.weights($0.shape.count)))
      })
    var statistics = ActivationStatistics(modules: modules, bands: TimestepBands(count: 2))
    // 10 inputs a channel, with a sum of squares of 10, 20, 30 and so on.
    for (name, first) in [("block.conv", 1), ("last", 100)] {
      let channels = try #require(statistics[name]?.channels)
      let summary = ActivationSummary(
        maxima: [Float](repeating: 1, count: channels),
        squareSums: (0..<channels).map { Double(10 * (first + $0)) }, positions: 10,
        histogram: [UInt64](repeating: 0, count: MagnitudeBins.count))
      check(statistics.update(name) { $0.add(summary, band: 0, branch: .conditional) } == .added)
    }
    let method = RecordingMethod()
    var choices = QuantizationPlan.Choices(
      scheme: try #require(Schemes.named("int8")), method: method)
    choices.assign = [(ModulePattern("last"), try #require(Schemes.named("int4-g32")))]
    let source = try QuantizedSource(
      base, plan: try QuantizationPlan(modules: modules, choices: choices), statistics: statistics)
    let stored = try Dictionary(
      uniqueKeysWithValues: source.names.map { ($0, try source.tensor($0)) })

    func call(
      _ tensor: String, _ grid: QuantizationGrid, _ meanSquares: [Float]?
    ) throws -> RecordingMethod.Call {
      let weights = try base.tensor(tensor)
      return RecordingMethod.Call(
        shape: weights.shape, firstWeight: weights.floats()[0], grid: grid,
        statistics: meanSquares.map { LayerStatistics(meanSquares: $0) })
    }
    let rows = QuantizationGrid(largestCode: 127, groupSize: nil, scaleKind: .f32)
    let groups = QuantizationGrid(largestCode: 7, groupSize: 32, scaleKind: .f16)
    #expect(
      method.calls == [
        try call(
          "block.conv.weight", rows,
          [1, 2, 3, 4].flatMap { [Float](repeating: $0, count: 9) }),
        try call("block.linear.weight", rows, nil),
        try call("last.weight", groups, (0..<40).map { Float(100 + $0) }),
      ])
    #expect(try #require(stored["block.conv.weight"]).floats().allSatisfy { $0 == 63.5 })
    #expect(try #require(stored["last.weight"]).floats().allSatisfy { $0 == 3.5 })

    let record = try #require(source.ledger.records.first { $0.tensor == "last.weight" })
    #expect(record.method == "recording")
    #expect(
      record.figures
        == RoundingFigures(sqnr: 1, weightedSQNR: 2, plainSQNR: 3, plainWeightedSQNR: 4))
  }
}
