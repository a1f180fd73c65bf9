import Calibration
import Models
import Quantization
import Support
import Tensors
import Testing

/// Sensitivities, their units and their calls, without a model.
struct SensitivityTests {
  static func call(_ prompt: String, _ step: Int) -> Sensitivities.Call {
    Sensitivities.Call(run: run(prompt), step: step)
  }

  static func unit(_ name: String, _ errors: [Double]) -> Sensitivities.Unit {
    Sensitivities.Unit(name: name, modules: [name], weightCount: 10, errors: errors)
  }

  @Test func eachCallCountsAlike() {
    // The second call has a thousand times the errors of the first, in the same ratios.
    let alike = Sensitivities(
      calls: [Self.call("a", 0), Self.call("a", 1)],
      units: [Self.unit("x", [0.25, 250]), Self.unit("y", [0.75, 750])])
    let square = Sensitivities.relativeStep * Sensitivities.relativeStep
    #expect(alike.values.map { $0 * square } == [0.5, 1.5])
    // Ratios to the mean: 0.5 and 1 of the one, 1.5 and 1 of the other.
    let mixed = Sensitivities(
      calls: alike.calls, units: [Self.unit("x", [1, 2]), Self.unit("y", [3, 2])])
    #expect(mixed.values.map { $0 * square } == [0.75, 1.25])
    // A call in which no unit has an error.
    let idle = Sensitivities(
      calls: alike.calls, units: [Self.unit("x", [1, 0]), Self.unit("y", [3, 0])])
    #expect(idle.values.map { $0 * square } == [0.25, 0.75])
  }

  @Test func incompleteSensitivitiesHaveNoValues() {
    let calls = [Self.call("a", 0), Self.call("a", 1)]
    for units in [
      [Self.unit("x", [1, 2]), Self.unit("y", [3])], [Self.unit("x", []), Self.unit("y", [])], [],
    ] {
      #expect(Sensitivities(calls: calls, units: units).values.isEmpty)
    }
    #expect(Sensitivities(calls: [], units: [Self.unit("x", [])]).values.isEmpty)
    #expect(!Sensitivities(calls: calls, units: [Self.unit("x", [1])]).isComplete)
  }

  /// The layers of a unit share a half of its error by their weights and the other as the prior says, in
  /// total and in each call.
  @Test func layersShareTheErrorOfTheirUnit() throws {
    let names = ["down_blocks.0.resnets.0.conv1", "down_blocks.0.resnets.0.conv2", "mid_block.x"]
    let modules = zip(names, [1, 3, 2]).map { module($0, .linear, [$1, 5]) }
    let sensitivities = Sensitivities(
      calls: [Self.call("a", 0), Self.call("b", 0)],
      units: [
        Sensitivities.Unit(
          name: "resnet", modules: Array(names.prefix(2)), weightCount: 20, errors: [0.04, 0.09]),
        Sensitivities.Unit(name: "middle", modules: [names[2]], weightCount: 10, errors: [0, 0]),
      ])
    let errors = sensitivities.guidedErrors(of: modules)
    let prior = GuidedErrors(assuming: modules)
    let found = modules.map { errors.sensitivity(of: $0) }
    let expected = sensitivities.values
    #expect(abs(found[0] + found[1] - expected[0]) < 1e-9 * expected[0])
    #expect(found[2] == 0 && found[0] > 0)
    let assumed = modules.map { prior.sensitivity(of: $0) }
    let share = (assumed[0] / (assumed[0] + assumed[1]) + 0.25) / 2
    #expect(abs(found[0] - share * expected[0]) < 1e-9 * expected[0])
    // The step at which it was measured gives the measured errors: 0.2 and 0.3.
    let square = Sensitivities.relativeStep * Sensitivities.relativeStep
    let predicted = try #require(errors.predicted(names.map { ($0, square) }))
    #expect(abs(predicted - 0.25) < 1e-9)
  }

  // MARK: - Merging

  private static let parts = [
    Sensitivities(
      calls: [call("a", 0), call("c", 2)], units: [unit("x", [1, 2]), unit("y", [3, 4])]),
    Sensitivities(calls: [call("b", 1)], units: [unit("x", [5]), unit("y", [6])]),
    // A part without calls, as that of a shard whose runs are not measured.
    Sensitivities(calls: [], units: [unit("x", []), unit("y", [])]),
  ]

  @Test(arguments: [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
  func mergingSortsTheCalls(order: [Int]) {
    let merged = Sensitivities.merging(order.map { Self.parts[$0] })
    #expect(
      merged
        == Sensitivities(
          calls: [Self.call("a", 0), Self.call("b", 1), Self.call("c", 2)],
          units: [Self.unit("x", [1, 5, 2]), Self.unit("y", [3, 6, 4])]))
  }

  @Test func whatDiffersIsNotMerged() {
    let calls = [Self.call("b", 1)]
    let others = [
      // A call of the first part.
      Sensitivities(
        calls: [Self.call("c", 2)], units: [Self.unit("x", [5]), Self.unit("y", [6])]),
      Sensitivities(calls: calls, units: [Self.unit("x", [5]), Self.unit("y", [])]),
      Sensitivities(calls: calls, units: [Self.unit("x", [5])]),
      Sensitivities(calls: calls, units: [Self.unit("y", [5]), Self.unit("x", [6])]),
      Sensitivities(
        calls: calls,
        units: [
          Self.unit("x", [5]),
          Sensitivities.Unit(name: "y", modules: ["y", "z"], weightCount: 10, errors: [6]),
        ]),
    ]
    for (index, other) in others.enumerated() {
      #expect(Sensitivities.merging([Self.parts[0], other]) == nil, "\(index)")
    }
    #expect(Sensitivities.merging([]) == nil)
  }

  // MARK: - Units and calls

  @Test func unitsAreResnetsAndTransformerBlocks() throws {
    let modules = try SamplerTests.model().unet.modules
    let layers = modules.filter { $0.kind.isMatrix && $0.role.exclusion == nil }
    for byLayer in [false, true] {
      let units = SensitivityUnit.units(of: modules, byLayer: byLayer)
      let names = units.flatMap(\.modules).map(\.name)
      #expect(Set(units.map(\.name)).count == units.count)
      #expect(names.count == layers.count && Set(names) == Set(layers.map(\.name)))
      #expect(
        units.reduce(0) { $0 + $1.weightCount }
          == layers.reduce(0) { $0 + $1.weight.shape.count })
      if byLayer { #expect(names == units.map(\.name)) }
    }
    let units = SensitivityUnit.units(of: modules, byLayer: false)
    let block = "up_blocks.2.attentions.1.transformer_blocks.0"
    let transformer = try #require(units.first { $0.name == block })
    #expect(transformer.modules.allSatisfy { $0.name.hasPrefix(block + ".") })
    // Two attentions of four layers, and two feed-forward layers.
    #expect(transformer.modules.count == 10)
    let resnet = try #require(units.first { $0.name == "down_blocks.1.resnets.0" })
    #expect(
      resnet.modules.map { $0.name.dropFirst(resnet.name.count + 1) }
        == ["conv1", "time_emb_proj", "conv2", "conv_shortcut"])
  }

  /// Runs and steps are spread evenly, from the first to the last: of the smallest images for units of
  /// many layers, of all images for single layers.
  @Test func callsAreSpreadOverRunsAndSteps() {
    let (small, large) = (ImageSize(width: 32, height: 32), ImageSize(width: 64, height: 32))
    func run(_ prompt: String, _ size: ImageSize) -> CalibrationRun {
      CalibrationRun(prompt: prompt, negativePrompt: "", seed: 0, size: size)
    }
    let runs = [
      run("e", small), run("a", large), run("d", small), run("z", large), run("b", small),
      run("c", small),
    ]
    func calls(_ steps: [Int], byLayer: Bool) -> [String] {
      SensitivityUnit.calls(of: runs, steps: steps, byLayer: byLayer).map {
        "\($0.run.prompt)\($0.step)"
      }
    }
    let steps = [9, 0, 3, 6, 12]
    #expect(calls(steps, byLayer: false) == ["b0", "b6", "b12", "e0", "e6", "e12"])
    #expect(
      calls([0, 3, 6, 9], byLayer: true)
        == ["a", "b", "d", "z"].flatMap { run in
          [0, 3, 6, 9].map { "\(run)\($0)" }
        })
    #expect(calls([4], byLayer: false) == ["b4", "e4"])
    #expect(SensitivityUnit.calls(of: [], steps: steps, byLayer: false).isEmpty)
  }
}
