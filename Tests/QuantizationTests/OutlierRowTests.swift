import ModelSources
import Models
import Quantization
import Tensors
import Testing

/// Rows that int8 would lose to a single weight.
struct OutlierRowTests {
  /// Normal weights with one weight of `outlier` in row 2.
  private func weights(_ outlier: Float, rows: Int = 4, length: Int = 320) -> StoredTensor {
    var generator = SeededGenerator(11)
    var floats = (0..<rows * length).map { _ in generator.normal() }
    floats[2 * length + 7] = outlier
    return StoredTensor(shape: [rows, length], floats: floats)
  }

  @Test func aRowWhoseOtherWeightsVanishIsFound() throws {
    // A step of 1000 / 127 is more than twice every other weight.
    let found = try #require(OutlierRow(in: weights(-1000), largestCode: 127))
    #expect(found == OutlierRow(in: weights(1e30), largestCode: 127))
    #expect(found.row == 2 && found.sqnr == 0)
    // All squares of the layer hide it.
    let scheme = try #require(Schemes.named("int8"))
    let encoded = try scheme.encode(
      weights(-1000), method: try #require(RoundingMethods.named("round")), statistics: nil)
    #expect(encoded.figures.sqnr > 25)
  }

  /// Near the limit, which 140 standard deviations cross.
  @Test(arguments: [(4, nil), (60, nil), (120, nil), (180, 2), (400, 2)] as [(Float, Int?)])
  func theLimitIsBetweenUsefulAndLostRows(outlier: Float, row: Int?) {
    #expect(OutlierRow(in: weights(outlier), largestCode: 127)?.row == row)
  }

  @Test func rowsWithoutOtherWeightsLoseNothing() {
    let single = StoredTensor(shape: [2, 3], floats: [0, 9, 0, 0, 0, 0])
    #expect(OutlierRow(in: single, largestCode: 127) == nil)
    let column = StoredTensor(shape: [3, 1], floats: [1, 1e9, 0])
    #expect(OutlierRow(in: column, largestCode: 127) == nil)
    let empty = StoredTensor(shape: [0, 3], floats: [])
    #expect(OutlierRow(in: empty, largestCode: 127) == nil)
  }

  /// Layers in int8 rows are spared; groups lose a group only.
  @Test func suchLayersAreStoredAsTheRest() throws {
    let modules = ["lost", "kept", "grouped"].map {
      SourceTests.module($0, .linear, .linear, [4, 320], bias: false)
    }
    let base = MemorySource(
      location: "unet",
      [
        ("lost.weight", weights(-1000)), ("kept.weight", weights(20)),
        ("grouped.weight", weights(-1000)),
      ])
    var choices = QuantizationPlan.Choices(scheme: try #require(Schemes.named("int8")))
    choices.assign = [(ModulePattern("grouped"), try #require(Schemes.named("int8-g32")))]
    let plan = try QuantizationPlan(modules: modules, choices: choices)
      .sparingOutliers(in: base, rest: choices.rest)
    #expect(plan.entries.map(\.scheme.name) == ["f16", "int8", "int8-g32"])
    #expect(
      plan["lost.weight"]?.reason
        == "outlier in row 2: int8 gives its other weights an SQNR of 0.0 dB")
    #expect(plan["kept.weight"]?.reason == "linear layer")
    // The weights are stored so.
    let source = try QuantizedSource(base, plan: plan)
    #expect(try source.tensor("lost.weight").encoding == .plain(.f16))
    #expect(source.ledger.records.first?.reason == plan["lost.weight"]?.reason)
  }
}
