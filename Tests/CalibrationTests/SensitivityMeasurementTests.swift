import Calibration
import Kernels
import ModelSources
import Models
import Sampling
import Support
import Tensors
import TestSupport
import Testing

/// Sensitivities of the miniature model, measured in two calls on a small image.
struct SensitivityMeasurementTests {
  private let model: Model
  private let calibration: CalibrationFile
  private let units: [SensitivityUnit]

  init() throws {
    model = try SamplerTests.model()
    let subject = try SamplerSubject(
      try Sampler(model), steps: 2, scheduler: "ddim", guidanceScale: 4,
      size: ImageSize(width: 16, height: 16))
    let model = model
    calibration = try withTemporaryFolder { folder in
      try SamplerTests.calibrate(
        subject, model, folder + "/c", prompts: [SamplerTests.prompts[0]])
    }
    units = SensitivityUnit.units(of: model.unet.modules, byLayer: false)
  }

  private var measurement: SensitivityMeasurement {
    SensitivityMeasurement(model, calibration, units: units, calls: calibration.calls)
  }

  /// What is measured is kept call by call and unit by unit, and an interrupted measurement continues to
  /// the same numbers.
  @Test func continuesWhereItEnded() throws {
    let empty = measurement.empty
    #expect(empty.units.map(\.name) == units.map(\.name))
    #expect(empty.units.map(\.weightCount) == units.map(\.weightCount))
    #expect(empty.calls.map(\.step) == [0, 1] && !empty.isComplete)
    var counts: [Int] = []
    let whole = try measurement.run(
      continuing: empty,
      progress: { done, total in
        #expect(total == 2 * units.count)
        counts.append(done)
      })
    #expect(counts == Array(0...2 * units.count))
    #expect(whole.isComplete && whole.units.flatMap(\.errors).allSatisfy { $0 > 0 })
    #expect(whole.values.count == units.count)

    // Interrupted in the second call.
    var left = units.count + 3
    var partial = empty
    #expect(throws: CancellationError.self) {
      _ = try measurement.run(continuing: empty) { measured in
        partial = measured
        left -= 1
        if left == 0 { throw CancellationError() }
      }
    }
    #expect(partial.units.map(\.errors.count) == units.indices.map { $0 < 3 ? 2 : 1 })
    var first: Int?
    let continued = try measurement.run(
      continuing: partial, progress: { done, _ in first = first ?? done })
    #expect(first == units.count + 3)
    #expect(continued == whole)
    // Nothing is left to measure.
    let again = try measurement.run(continuing: whole) { _ in
      Issue.record("a complete measurement measures again")
    }
    #expect(again == whole)
  }

  /// The error of a unit is that of a U-Net whose layers of the unit are rounded, from the first
  /// convolution on.
  @Test(arguments: [
    "down_blocks.0.resnets.0", "mid_block.attentions.0.transformer_blocks.0",
    "up_blocks.3.resnets.2",
  ])
  func theErrorIsThatOfTheRoundedModel(name: String) throws {
    let unit = try #require(units.first { $0.name == name })
    let call = calibration.calls[1]
    let measured = try SensitivityMeasurement(model, calibration, units: [unit], calls: [call])
      .run(
        continuing: SensitivityMeasurement(model, calibration, units: [unit], calls: [call]).empty)
    var source = model.source
    let place = try #require(source.components.firstIndex { $0.name == ComponentName.unet })
    let weights = source.components[place].weights
    let rounded = Set(unit.modules.map(\.weight.name))
    source.components[place].weights = MemorySource(
      location: weights.location,
      try weights.names.map { name in
        let tensor = try weights.tensor(name)
        guard rounded.contains(name) else { return (name, tensor) }
        let values = tensor.floats()
        let squares = values.reduce(0) { $0 + Double($1) * Double($1) }
        let step = Float(0.18 * (squares / Double(values.count)).squareRoot())
        return (
          name,
          StoredTensor(shape: tensor.shape, floats: values.map { ($0 / step).rounded() * step })
        )
      })
    let replay = try CallReplay(
      [call], calibration.settings, by: try Sampler(try Model.bind(source)))
    let found = try replay.predict(0).guided.values
    let expected = call.guided(scale: 4).values
    let error = relativeError(found, expected)
    let squared = try #require(measured.units.first?.errors.first)
    #expect(abs(squared - error * error) < 1e-5 * squared, "\(squared) and \(error * error)")
    #expect(squared > 0)
  }
}
