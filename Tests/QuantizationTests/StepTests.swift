import Foundation
import Kernels
import ModelSources
import Models
import Quantization
import Support
import Tensors
import Testing

/// Codes whose steps are given.
struct StepTests {
  private static let base: any IntegerScheme = {
    let found = SteppedScheme.bases.filter { $0.name == "int8" }
    return found[0]
  }()

  private static func scheme(_ step: Double) -> SteppedScheme { SteppedScheme(base, step: step) }

  private static func scales(_ tensor: StoredTensor) -> [Float] {
    StoredTensor(shape: [tensor.shape.rows], encoding: .plain(.f32), parts: [tensor.parts[1]])
      .floats()
  }

  /// Rows of root mean squares 1, 4 and 0: the geometric mean of the first two is 2.
  @Test func largerRowsHaveLargerSteps() throws {
    let rows: [[Float]] = [[1, -1, 1, -1], [4, 4, -4, 4], [0, 0, 0, 0]]
    let weights = StoredTensor(shape: [3, 4], floats: rows.flatMap { $0 })
    let whole = (17.0 / 3).squareRoot()
    let found = try #require(Self.scheme(0.5).grid.rowScales(of: weights))
    let expected = [0.5 * whole * 0.5.squareRoot(), 0.5 * whole * 2.0.squareRoot(), 0]
    for (found, expected) in zip(found, expected) {
      #expect(abs(Double(found) - expected) < 1e-6 * whole)
    }
    // A step below what the largest weight needs is raised.
    let least = try #require(Self.scheme(0.001).grid.rowScales(of: weights))
    #expect(least == [Float(1.01 / 127), Float(4.04 / 127), 0])
    #expect(Self.base.grid.rowScales(of: weights) == nil)
  }

  @Test(arguments: ["round", "mse", "gptq"])
  func everyMethodUsesTheGivenStep(name: String) throws {
    var generator = SeededGenerator(31)
    let weights = StoredTensor(shape: [24, 96], floats: generator.weights(24 * 96))
    let inputs = generator.weights(400 * 96)
    var moments = InputMoments(count: 96)
    moments.add(inputs)
    let factor = try #require(moments.factored(damping: 0.01))
    let statistics = LayerStatistics(
      meanSquares: [Float](repeating: 1, count: 96),
      feedback: [FeedbackBlock(inputs: Array(0..<96), factor: factor)])
    let scheme = Self.scheme(0.1)
    let encoded = try scheme.encode(weights, method: try method(name), statistics: statistics)
    #expect(encoded.tensor.encoding == Self.base.encoding)
    #expect(Self.scales(encoded.tensor) == scheme.grid.rowScales(of: weights))
    // A uniform error of a tenth of the root mean square; feedback adds to it.
    let relative = 12 * pow(10, -encoded.figures.sqnr / 10)
    #expect(relative > 0.005 && relative < 0.05, "\(relative)")
    let plain = 12 * pow(10, -encoded.figures.plainSQNR / 10)
    #expect(plain > 0.005 && plain < 0.02, "\(plain)")
    if name == "gptq" { #expect(encoded.tensor.parts[0].array != plainCodes(weights, scheme)) }
  }

  private func plainCodes(_ weights: StoredTensor, _ scheme: SteppedScheme) -> [UInt8]? {
    try? scheme.encode(weights, method: method("round"), statistics: nil).tensor.parts[0].array
  }

  @Test func coarserStepsHaveLargerErrors() throws {
    var generator = SeededGenerator(32)
    let weights = StoredTensor(shape: [16, 64], floats: generator.weights(16 * 64))
    let errors = try SteppedScheme.steps.map { step in
      try Self.scheme(step).encode(weights, method: method("round"), statistics: nil).figures.sqnr
    }
    #expect(errors.first! > errors.last! + 15)
    #expect(abs(SteppedScheme.steps[0] - 0.003) < 1e-9)
    #expect(abs(try #require(SteppedScheme.steps.last) - 0.3) < 1e-9)
    #expect(zip(SteppedScheme.steps, SteppedScheme.steps.dropFirst()).allSatisfy { $0 < $1 })
  }

  /// A chosen scheme yields to patterns of the user. JSON has its step.
  @Test func plansHaveChosenSchemes() throws {
    var choices = QuantizationPlan.Choices(scheme: Schemes.half)
    choices.chosen = [
      "block.conv": ChosenScheme(scheme: Self.scheme(0.02), reason: "chosen"),
      "block.linear": ChosenScheme(scheme: Schemes.int8, reason: "chosen"),
    ]
    choices.keep = [ModulePattern("block.linear")]
    let plan = try QuantizationPlan(modules: SourceTests.modules, choices: choices)
    let entry = try #require(plan["block.conv.weight"])
    #expect(entry.step == 0.02 && entry.scheme.name == "int8" && entry.reason == "chosen")
    #expect(entry.json.object?["step"] == .number(0.02))
    let kept = try #require(plan["block.linear.weight"])
    #expect(kept.step == nil && kept.scheme.name == "f16")
    #expect(kept.json.object?["step"] == nil)
    #expect(choices.undecided(of: SourceTests.modules).map(\.name) == ["block.conv"])
    choices.keep = []
    choices.only = [ModulePattern("conv_in")]
    #expect(choices.undecided(of: SourceTests.modules).map(\.name) == ["conv_in"])
  }

  /// Errors of layers add up as squares in each call; the mean is over calls.
  @Test func errorsArePredicted() throws {
    let errors = GuidedErrors(
      sensitivities: ["block.conv": 2, "block.linear": 5],
      calls: ["block.conv": [1, 4], "block.linear": [0, 5]])
    let steps: [(name: String, squaredStep: Double)] = [
      ("block.conv", 0.04), ("block.linear", 0.01),
    ]
    let found = try #require(errors.predicted(steps))
    let expected = (0.04.squareRoot() + (0.16 + 0.05).squareRoot()) / 2
    #expect(abs(found - expected) < 1e-12)
    let modules = SourceTests.modules
    #expect(modules.map(errors.sensitivity) == [5, 5, 2, 5])
    let assumed = GuidedErrors(assuming: modules)
    #expect(!assumed.isMeasured && assumed.predicted(steps) == nil)
  }

  /// Without measurements, each halving of the resolution counts a quarter.
  @Test func assumedSensitivitiesFollowRolesAndLevels() throws {
    let modules = [
      "down_blocks.0.resnets.0.conv1", "down_blocks.1.resnets.0.conv1",
      "up_blocks.0.resnets.0.conv1", "up_blocks.1.resnets.0.conv1",
      "mid_block.attentions.0.proj_in", "down_blocks.0.attentions.0.proj_in",
    ].map { SourceTests.module($0, .linear, .linear, [2, 2]) }
    let assumed = GuidedErrors(assuming: modules)
    #expect(modules.map(assumed.sensitivity) == [24, 6, 6, 24, 80, 320])
  }

  /// Every option is measured on weights, and types that cannot store them are left out.
  @Test func optionsOfALayerAreMeasured() throws {
    let module = SourceTests.module("block.linear", .linear, .linear, [64, 64])
    var generator = SeededGenerator(33)
    let source = SourceTests.weights {
      $0 = [
        ("block.linear.weight", StoredTensor(shape: [64, 64], floats: generator.weights(64 * 64)))
      ]
    }
    let grouped = try #require(Schemes.named("int4-g32"))
    let schemes: [any Scheme] = [grouped, Schemes.int8, Schemes.half]
    let found = try LayerOptions(of: module, in: source, schemes: schemes, codedBytes: nil)
    #expect(found.weightCount == 4096)
    // Codes and float16 scales of groups, codes and float32 scales of rows, float16 numbers.
    let bytes: [Double] = [2304, 4352, 8192]
    #expect(found.options.map(\.bytes) == bytes)
    let errors = found.options.map(\.squaredStep)
    #expect(errors[0] > errors[1] && errors[1] > errors[2] && errors[2] >= 0)
    let coded = try LayerOptions(of: module, in: source, schemes: schemes) { _ in 10 }
    #expect(coded.options.map(\.bytes) == [10, 10, 10])
    #expect(throws: WeightError.self) {
      try LayerOptions(of: module, in: source, schemes: [], codedBytes: nil)
    }
  }
}
