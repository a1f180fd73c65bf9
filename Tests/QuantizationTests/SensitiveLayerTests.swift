import Models
import Quantization
import Tensors
import Testing

/// Which of the most sensitive layers are kept.
struct SensitiveLayerTests {
  /// Linear layers `a`, `b`, … of these numbers of weights.
  private static func layers(_ counts: [Int]) -> [ModuleSpec] {
    zip("abcdefgh", counts).map { name, count in
      SourceTests.module("\(name)", .linear, .linear, [1, count])
    }
  }

  private static func errors(_ sensitivities: [String: Double]) -> GuidedErrors {
    GuidedErrors(sensitivities: sensitivities, calls: [:])
  }

  /// The modules whose weights are kept for their sensitivity.
  private static func kept(
    _ modules: [ModuleSpec], _ sensitivities: [String: Double], share: Double,
    _ change: (inout QuantizationPlan.Choices) throws -> Void = { _ in }
  ) throws -> [String] {
    var choices = try PlanTests.choices()
    choices.sensitive = SensitiveLayers(share: share, errors: errors(sensitivities))
    try change(&choices)
    let plan = try QuantizationPlan(modules: modules, choices: choices)
      .keepingSensitive(by: choices, of: modules)
    let kept = plan.entries.filter { $0.reason == "most sensitive layers" }
    #expect(kept.allSatisfy { $0.scheme.name == choices.rest.name })
    return kept.map(\.module)
  }

  private static let four = layers([100, 100, 100, 100])
  private static let rising = ["a": 1.0, "b": 2, "c": 3, "d": 4]

  @Test(arguments: [
    (0.0, ""), (0.2499, ""), (0.25, "d"), (0.5, "cd"), (0.7499, "cd"), (0.75, "bcd"), (1, "abcd"),
  ])
  func theShareIsNeverExceeded(share: Double, expected: String) throws {
    #expect(try Self.kept(Self.four, Self.rising, share: share).joined() == expected)
  }

  /// A small layer is more sensitive for each weight than a large one.
  @Test func layersAreOrderedBySensitivityPerWeight() throws {
    let modules = Self.layers([1000, 10, 90, 900])
    let sensitivities = ["a": 100.0, "b": 2, "c": 27, "d": 1]
    // For each weight: 0.1, 0.2, 0.3 and 0.001.
    #expect(try Self.kept(modules, sensitivities, share: 90 / 2000) == ["c"])
    #expect(try Self.kept(modules, sensitivities, share: 100 / 2000) == ["b", "c"])
    #expect(try Self.kept(modules, sensitivities, share: 1100 / 2000) == ["a", "b", "c"])
  }

  /// A layer that does not fit leaves its place to smaller ones that are less sensitive.
  @Test func aLayerThatDoesNotFitIsPassedOver() throws {
    let modules = Self.layers([600, 200, 200])
    #expect(try Self.kept(modules, ["a": 600, "b": 2, "c": 1], share: 0.3) == ["b"])
    #expect(try Self.kept(modules, ["a": 600, "b": 2, "c": 1], share: 0.4) == ["b", "c"])
  }

  @Test func layersOfEqualSensitivityKeepTheirOrder() throws {
    let equal = ["a": 1.0, "b": 1, "c": 1, "d": 1]
    #expect(try Self.kept(Self.four, equal, share: 0.5) == ["a", "b"])
  }

  /// Layers without a sensitivity count like the most sensitive one.
  @Test func unknownLayersComeFirst() throws {
    #expect(try Self.kept(Self.four, ["a": 1, "b": 2, "d": 4], share: 0.25) == ["c"])
  }

  /// Layers that the user, a plan or their role decides on keep their scheme, and their weights do not
  /// count.
  @Test func patternsPlansAndRolesDecideFirst() throws {
    let int4 = try #require(Schemes.named("int4-g32"))
    let changes: [(inout QuantizationPlan.Choices) -> Void] = [
      { $0.assign = [(ModulePattern("d"), int4)] }, { $0.keep = [ModulePattern("d")] },
      { $0.chosen = ["d": ChosenScheme(scheme: int4, reason: "chosen by the plan")] },
    ]
    for (index, change) in changes.enumerated() {
      let most = try Self.kept(Self.four, Self.rising, share: 0.34, change)
      #expect(most == ["c"], "\(index)")
      let none = try Self.kept(Self.four, Self.rising, share: 0.33, change)
      #expect(none == [], "\(index)")
    }
    let selected = try Self.kept(Self.four, Self.rising, share: 1) {
      $0.only = [ModulePattern("?")]
    }
    #expect(selected == [])
    let first = SourceTests.module("conv_in", .linear, .firstConvolution, [1, 100])
    #expect(try Self.kept([first] + Self.four, Self.rising, share: 0.24) == [])
  }

  /// Layers that a type stores in another one, such as int8 instead of 4 bits, are kept too.
  @Test func exceptionsAreKeptToo() throws {
    let int8 = try #require(Schemes.named("int8"))
    let found = try Self.kept(Self.four, Self.rising, share: 0.25) {
      $0.scheme = try #require(Schemes.named("int4-g32"))
      $0.exceptions = [
        PlanException(pattern: ModulePattern("d"), scheme: int8, reason: "measured")
      ]
    }
    #expect(found == ["d"])
  }

  /// Nothing is kept where nothing is quantized, and by plans that are not asked for it.
  @Test func plainTypesKeepNothing() throws {
    let found = try Self.kept(Self.four, Self.rising, share: 1) {
      $0.scheme = try #require(Schemes.named("bf16"))
    }
    #expect(found == [])
    let choices = try PlanTests.choices()
    let plan = try QuantizationPlan(modules: Self.four, choices: choices)
      .keepingSensitive(by: choices, of: Self.four)
    let quantized = plan.entries.filter { $0.scheme.name == "int8" }
    #expect(quantized.map(\.module) == ["a", "b", "c", "d"])
  }

  /// In Stable Diffusion 1, the standard share is of the quantized weights and nearly used up.
  @Test func theStandardShareOfStableDiffusion() throws {
    let modules = try PlanTests.modules()
    var choices = try PlanTests.choices()
    let whole = try QuantizationPlan(modules: modules, choices: choices)
    choices.sensitive = SensitiveLayers(
      share: SensitiveLayers.standardShare, errors: GuidedErrors(assuming: modules))
    let plan = whole.keepingSensitive(by: choices, of: modules)
    func weights(_ plan: QuantizationPlan) -> Double {
      Double(
        plan.entries.filter { $0.scheme.encoding.isQuantized }.reduce(0) { $0 + $1.shape.count })
    }
    let share = 1 - weights(plan) / weights(whole)
    #expect(SensitiveLayers.standardShare == 0.03)
    #expect(share <= 0.03 && share > 0.0299, "\(share)")
    #expect(plan.entries.map(\.tensor) == whole.entries.map(\.tensor))
  }
}
