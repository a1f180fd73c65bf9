import ModelSources
import Models
import Quantization
import Tensors
import Testing

/// Weights that a scheme would lose to a single one with the same scale.
struct OutlierTests {
  /// Normal weights with weights of `outlier` in row 2, one in each of the first groups of 32.
  private func weights(
    _ outlier: Float, count: Int = 1, rows: Int = 4, length: Int = 320
  ) -> StoredTensor {
    var generator = SeededGenerator(11)
    var floats = (0..<rows * length).map { _ in generator.normal() }
    for index in 0..<count { floats[2 * length + 7 + 32 * index] = outlier }
    return StoredTensor(shape: [rows, length], floats: floats)
  }

  private func outliers(in weights: StoredTensor, _ type: String) throws -> Outliers? {
    Outliers(in: weights, storedAs: try #require(Schemes.named(type)))
  }

  /// A step is more than twice every other weight.
  @Test(arguments: [("int8", -1000), ("int8", 1e30), ("fp8", 1e9)] as [(String, Float)])
  func otherWeightsThatVanishAreFound(type: String, outlier: Float) throws {
    let found = try #require(try outliers(in: weights(outlier), type))
    #expect(found.loss?.row == 2 && found.loss?.sqnr == 0 && found.lostGroups == 0)
    // All squares of the layer hide it.
    let encoded = try #require(Schemes.named(type)).encode(
      weights(outlier), method: RoundingMethods.nearest, statistics: nil)
    #expect(encoded.figures.sqnr > 25)
  }

  /// Near the limits, which 140 standard deviations cross in a row, and 1,100 in rotated groups of
  /// 64. Float8 has small numbers beside large ones, down to a millionth.
  @Test(
    arguments: [
      ("int8", 4, nil), ("int8", 60, nil), ("int8", 120, nil), ("int8", 180, 2), ("int8", 400, 2),
      ("int8-convrot", 4, nil), ("int8-convrot", 400, nil), ("int8-convrot", 4000, 2),
      ("int8-convrot", 1e9, 2), ("fp8", 4, nil), ("fp8", 100_000, nil), ("fp8", 400_000, 2),
      ("f16", 60_000, nil),
    ] as [(String, Float, Int?)])
  func theLimitIsBetweenUsefulAndLostWeights(type: String, outlier: Float, row: Int?) throws {
    let found = try outliers(in: weights(outlier), type)
    #expect(found?.loss?.row == row)
    #expect((found == nil) == (row == nil))
  }

  /// A row has 40 groups of 32 weights. Those of one lost group are 2.5 % of them.
  @Test(
    arguments: [
      ("int8-g32", 4, 1, nil, 0), ("int8-g32", 100, 1, nil, 0), ("int8-g32", 60_000, 1, nil, 1),
      ("int8-g32", 60_000, 6, nil, 6), ("int8-g32", 60_000, 30, 2, 30),
      ("int4-g32", 6, 1, nil, 0), ("int4-g32", 60_000, 1, nil, 1),
    ] as [(String, Float, Int, Int?, Int)])
  func singleGroupsAreCounted(
    type: String, outlier: Float, count: Int, row: Int?, lost: Int
  ) throws {
    let found = try outliers(in: weights(outlier, count: count, length: 1280), type)
    #expect(found?.loss?.row == row)
    #expect(found?.lostGroups ?? 0 == lost)
  }

  @Test(arguments: ["int8", "fp8", "int8-g32"])
  func rowsWithoutOtherWeightsLoseNothing(type: String) throws {
    for (shape, floats) in [
      ([2, 3], [0, 9, 0, 0, 0, 0]), ([3, 1], [1, 1e9, 0]), ([0, 3], []),
    ] as [(Shape, [Float])] {
      #expect(try outliers(in: StoredTensor(shape: shape, floats: floats), type) == nil)
    }
  }

  /// Layers that lose a row are spared, and those that lose a group are named.
  @Test(arguments: [("int8", Float(-1000)), ("int8-convrot", 60_000), ("fp8", 1e9)])
  func suchLayersAreStoredAsTheRest(type: String, outlier: Float) throws {
    let modules = [("lost", 320), ("kept", 320), ("grouped", 1280)].map {
      SourceTests.module($0, .linear, .linear, [4, $1], bias: false)
    }
    let base = MemorySource(
      location: "unet",
      [
        ("lost.weight", weights(outlier)), ("kept.weight", weights(20)),
        ("grouped.weight", weights(-1000, length: 1280)),
      ])
    var choices = QuantizationPlan.Choices(
      scheme: try #require(Schemes.named(type)), rest: Schemes.single)
    choices.assign = [(ModulePattern("grouped"), try #require(Schemes.named("int8-g32")))]
    let plan = try QuantizationPlan(modules: modules, choices: choices)
      .sparingOutliers(in: base, rest: choices.rest)
    #expect(plan.entries.map(\.scheme.name) == ["f32", type, "int8-g32"])
    let reason = try #require(plan["lost.weight"]?.reason)
    let start = "outlier in row 2: \(type) gives its other weights an SQNR of "
    #expect(reason.hasPrefix(start) && reason.hasSuffix(" dB"), "\(reason)")
    if type == "int8" { #expect(reason == start + "0.0 dB") }
    #expect(plan["kept.weight"]?.reason == "linear layer")
    #expect(
      plan.findings == [
        "'lost.weight' stays f32: \(reason)",
        "'grouped.weight': outliers in 1 group, whose other weights int8-g32 rounds to zero, or "
          + "nearly",
      ])
    // The weights are stored so.
    let source = try QuantizedSource(base, plan: plan)
    #expect(try source.tensor("lost.weight").encoding == .plain(.f32))
    #expect(source.ledger.records.first?.reason == reason)
  }
}
