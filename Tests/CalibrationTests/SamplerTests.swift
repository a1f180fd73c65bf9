import Calibration
import Checkpoints
import Models
import Quantization
import Sampling
import Support
import Tensors
import TestSupport
import Testing

/// Calibration of the miniature model with the sampler.
struct SamplerTests {
  static let prompts = [
    Prompt("a red circle on a blue background"),
    Prompt("a small green square", negativePrompt: "yellow"),
    Prompt("a blue triangle"),
  ]

  static func model() throws -> Model {
    try Model.bind(try Readers.all.read(fixture("mini-sd")))
  }

  static func calibrate(
    _ subject: SamplerSubject, _ model: Model, _ path: String, prompts: [Prompt]
  ) throws -> CalibrationFile {
    try Calibrator(
      path: path, tool: "decant test", model: CalibratedModel(digest: "mini"),
      settings: subject.settings, modules: model.unet.modules
    ).calibrate(prompts.runs(seeds: 1, sizes: subject.settings.sizes), on: subject)
  }

  @Test func collectsEveryModuleInBothBranchesAndEveryBand() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model()
      let subject = try SamplerSubject(try Sampler(model), steps: 4, scheduler: "ddim")
      #expect(subject.callsPerRun == 4)
      #expect(subject.settings.scheduler == "ddim")
      #expect(subject.settings.guidanceScale == 7.5)
      #expect(subject.settings.sizes[0] == model.defaultSize)
      let file = try Self.calibrate(subject, model, folder + "/all", prompts: Self.prompts)
      try file.check(against: model.unet.modules)
      #expect(try CalibrationFile(path: folder + "/all") == file)

      for name in file.statistics.names {
        let module = try #require(file.statistics[name])
        // One call a band (1, 251, 501, 751), with the same count in each branch.
        #expect(module.positions.allSatisfy { $0 == module.positions[0] && $0 > 0 }, "\(name)")
        #expect(try #require(module.meanSquares()).contains { $0 > 0 }, "\(name)")
        #expect(try #require(module.maxima.max()) > 0, "\(name)")
      }
      // The input of conv_in is the sampler's latents.
      let latent = try #require(file.statistics["conv_in"])
      #expect(latent.channels == 4)
      let (width, height) = (
        subject.settings.sizes[0].width / model.vae.downsamplingFactor,
        subject.settings.sizes[0].height / model.vae.downsamplingFactor
      )
      #expect(latent.positions[0] == UInt64(Self.prompts.count * width * height))
      // Both branches have the same latents and different text.
      #expect(
        latent.meanSquares(of: .conditional)
          == latent.meanSquares(of: .unconditional))
      let key = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
      let text = try #require(file.statistics[key])
      #expect(
        text.meanSquares(of: .conditional) != text.meanSquares(of: .unconditional))
    }
  }

  @Test func partsMergeToTheWhole() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model()
      let subject = try SamplerSubject(try Sampler(model), steps: 2)
      _ = try Self.calibrate(subject, model, folder + "/all", prompts: Self.prompts)
      let parts = try Self.prompts.indices.map {
        try Self.calibrate(subject, model, folder + "/\($0)", prompts: [Self.prompts[$0]])
      }
      let merged = try CalibrationFile.merging(
        parts, path: folder + "/merged", tool: "decant test")
      try merged.write(replacing: false)
      #expect(try bytes(folder + "/merged") == bytes(folder + "/all"))
    }
  }

  /// Prompt, negative prompt, seed and each setting change the statistics.
  @Test func everyInputOfARunChangesTheStatistics() throws {
    let model = try Self.model()
    let sampler = try Sampler(model)
    func statistics(
      _ run: CalibrationRun, _ subject: SamplerSubject
    ) throws -> ActivationStatistics {
      let collector = StatisticsCollector(
        modules: model.unet.modules, bands: TimestepBands(), run: run)
      _ = try subject.perform(run, observedBy: collector)
      return try collector.finish()
    }
    let size = ImageSize(width: 32, height: 32)
    let run = CalibrationRun(prompt: "a red circle", negativePrompt: "", seed: 1, size: size)
    let subject = try SamplerSubject(
      sampler, steps: 2, scheduler: "ddim", guidanceScale: 4, size: size)
    let found = try statistics(run, subject)
    #expect(try statistics(run, subject) == found)
    for other in [
      CalibrationRun(prompt: "a blue square", negativePrompt: "", seed: 1, size: size),
      CalibrationRun(prompt: "a red circle", negativePrompt: "blue", seed: 1, size: size),
      CalibrationRun(prompt: "a red circle", negativePrompt: "", seed: 2, size: size),
      CalibrationRun(
        prompt: "a red circle", negativePrompt: "", seed: 1, size: ImageSize(width: 64, height: 32)),
    ] {
      #expect(try statistics(other, subject) != found, "\(other)")
    }
    let others = [
      try SamplerSubject(
        sampler, steps: 3, scheduler: "ddim", guidanceScale: 4,
        size: ImageSize(width: 32, height: 32)),
      try SamplerSubject(
        sampler, steps: 2, scheduler: "euler", guidanceScale: 4,
        size: ImageSize(width: 32, height: 32)),
      try SamplerSubject(
        sampler, steps: 2, scheduler: "ddim", guidanceScale: 5,
        size: ImageSize(width: 32, height: 32)),
    ]
    for other in others {
      #expect(other.settings != subject.settings)
      #expect(try statistics(run, other) != found, "\(other.settings)")
    }
  }

  @Test func withoutGuidanceOnlyTheConditionalBranchRuns() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model()
      let subject = try SamplerSubject(
        try Sampler(model), steps: 2, scheduler: "euler", guidanceScale: 1)
      let file = try Self.calibrate(subject, model, folder + "/c", prompts: [Self.prompts[0]])
      let module = try #require(file.statistics["conv_in"])
      #expect(module.meanSquares(of: .unconditional) == nil)
      #expect(module.meanSquares(of: .conditional) != nil)
    }
  }

  /// A calibration reduces the weighted error of its own model.
  @Test func calibrationImprovesQuantization() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model()
      let subject = try SamplerSubject(try Sampler(model), steps: 2)
      let file = try Self.calibrate(subject, model, folder + "/c", prompts: [Self.prompts[0]])
      let plan = try QuantizationPlan(
        modules: model.unet.modules,
        choices: QuantizationPlan.Choices(scheme: try #require(Schemes.named("int8"))))
      let source = try QuantizedSource(
        model.weights(of: "unet"), plan: plan, statistics: file.statistics)
      for name in source.names { _ = try source.tensor(name) }
      let quantized = source.ledger.records.filter(\.after.isQuantized)
      #expect(quantized.count == plan.entries.count { $0.scheme.name == "int8" })
      for record in quantized {
        let weighted = try #require(record.figures.weightedSQNR)
        let plain = try #require(record.figures.plainWeightedSQNR)
        #expect(weighted >= plain, "\(record.tensor)")
        #expect(weighted > 30, "\(record.tensor)")
      }
      // Without the statistics, other scales are chosen.
      let uncalibrated = try QuantizedSource(model.weights(of: "unet"), plan: plan)
      let changed = try quantized.count { record in
        try source.tensor(record.tensor).parts[0].array
          != uncalibrated.tensor(record.tensor).parts[0].array
      }
      #expect(changed > quantized.count / 2)
    }
  }

  @Test func refusesUnknownSchedulers() throws {
    let model = try Self.model()
    let sampler = try Sampler(model)
    #expect(throws: SchedulerError.self) { try SamplerSubject(sampler, scheduler: "nothing") }
  }
}
