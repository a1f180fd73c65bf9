import Calibration
import Models
import Quantization
import Sampling
import TestSupport
import Testing

/// Calibration, and a measurement with its calls, of a narrow model of each kind of pipeline.
struct FamilyTests {
  @Test(arguments: [
    ("sd-v1-5-inpainting", 9, true), ("sd-v2-1", 4, true), ("lcm-dreamshaper-v7", 4, false),
    ("koala-700m", 4, true), ("sdxl-turbo", 4, true), ("sdxl-refiner-1.0", 4, true),
  ])
  func collectsEveryModuleAndMeasures(name: String, channels: Int, isGuided: Bool) throws {
    let tokenizer = try smallTokenizer()
    let family = try #require(Family.named(name))
    let model = try Model.bind(
      try #require(
        try family.narrowed(vocabulary: tokenizer.vocabulary, files: tokenizer.files)))
    let subject = try SamplerSubject(try Sampler(model), steps: 2, guidanceScale: 4)
    try withTemporaryFolder { folder in
      let file = try SamplerTests.calibrate(
        subject, model, folder + "/a", prompts: [Prompt("a red circle")])
      try file.check(against: model.unet.modules)
      #expect(file.statistics.names.count == model.unet.modules.filter { $0.kind.isMatrix }.count)
      for name in file.statistics.names {
        let module = try #require(file.statistics[name])
        #expect(try #require(module.meanSquares(of: .conditional)).contains { $0 > 0 })
        #expect(module.maxima.allSatisfy { $0.isFinite })
      }
      let first = try #require(file.statistics["conv_in"])
      #expect(first.channels == channels)
      #expect((first.meanSquares(of: .unconditional) != nil) == isGuided)

      // Units of the first, a middle and the last stage, in the first recorded call.
      let all = SensitivityUnit.units(of: model.unet.modules, byLayer: false)
      let measurement = SensitivityMeasurement(
        model, file, units: [all[0], all[all.count / 2], all[all.count - 1]],
        calls: [file.calls[0]])
      let sensitivities = try measurement.run(continuing: measurement.empty)
      #expect(sensitivities.isComplete)
      let errors = sensitivities.units.flatMap(\.errors)
      #expect(errors.allSatisfy { $0 > 0 && $0.isFinite }, "\(errors)")
    }
  }
}
