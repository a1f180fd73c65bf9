import ModelSources
import Models
import Sampling
import Support
import TestSupport
import Testing
import Verification

struct VerifierTests {
  @Test func aModelEqualsItself() throws {
    let model = try smallModel()
    let report = try verifier(
      VerificationThresholds(
        minimumPSNR: 99, minimumSSIM: 1, maximumLatentError: 0, maximumStepError: 0)
    ).verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "same", model: model))
    let summary = report.summary(of: 0)
    #expect(summary.leastPSNR == .infinity)
    #expect(summary.meanPSNR == .infinity)
    #expect(summary.leastSSIM == 1)
    #expect(summary.largestDifference == 0)
    #expect(summary.leastShareWithinOneLevel == 1)
    #expect(summary.worstLatentError == 0)
    #expect(summary.worstPredictionError == 0)
    #expect(report.checks.count == 4)
    #expect(report.isMet == true)
    #expect(report.tensors.allSatisfy { $0.sqnr == .infinity && $0.relativeError == 0 })
    #expect(report.tensors.count == model.components.reduce(0) { $0 + $1.modules.tensors.count })
    #expect(report.absentTensors == 0)
    #expect(report.notes == [])
    #expect(report.blocks.allSatisfy { $0.results == [.init([0, 0])] })
    #expect(report.blocks.map(\.name).contains("mid_block.attentions.0"))
    #expect(Set(report.blocks.map(\.component)) == ["text_encoder", "unet", "vae"])
    #expect(report.images.count == 2)
    #expect(report.images.allSatisfy { $0.results[0]?.image == $0.reference })
  }

  @Test func moreNoiseIsWorseEverywhere() throws {
    let model = try smallModel()
    let subjects = try [("little", Float(0.002)), ("more", 0.02), ("much", 0.2)].map {
      Verifier.Subject(name: $0.0, model: try model.moved(by: $0.1))
    }
    let report = try verifier().verify(
      reference: .init(name: "original", model: model), candidate: subjects[0],
      baselines: Array(subjects[1...]))
    let errors = report.errors.map { $0.spreads.guided.mean }
    #expect(errors[0] < errors[1] && errors[1] < errors[2])
    for step in report.steps {
      let guided = try step.errors.map { try #require($0).pooled.guided }
      #expect(guided[0] < guided[1] && guided[1] < guided[2])
      let latents = try #require(step.latents[0])
      #expect(latents.worst >= latents.mean)
      #expect(step.latents[1] == nil)
    }
    let last = try #require(report.blocks.last { $0.component == "unet" })
    #expect(last.name == "conv_out")
    let means = last.results.compactMap { $0?.mean }
    #expect(means.count == 3 && means[0] < means[1] && means[1] < means[2])
    // The text encoder and the decoder are unchanged.
    for block in report.blocks where block.component != "unet" {
      #expect(block.results.allSatisfy { $0?.worst == 0 }, "\(block.name)")
    }
    // A change of every weight by 0.2 % is 54 dB.
    let weight = try #require(report.tensors.first { $0.name == "conv_in.weight" })
    #expect(abs(weight.sqnr - 53.98) < 0.01)
    #expect(abs(weight.relativeError - 0.002) < 1e-5)

    let summaries = try subjects.map {
      try verifier().verify(reference: .init(name: "original", model: model), candidate: $0)
        .summary(of: 0)
    }
    for (better, worse) in zip(summaries, summaries.dropFirst()) {
      #expect(try #require(better.leastPSNR) > #require(worse.leastPSNR))
      #expect(try #require(better.worstLatentError) < #require(worse.worstLatentError))
      #expect(try #require(better.leastLatentCosine) > #require(worse.leastLatentCosine))
      #expect(better.worstPredictionError < worse.worstPredictionError)
      #expect(better.meanPredictionError < worse.meanPredictionError)
      #expect(try #require(better.leastSSIM) > worse.leastSSIM ?? 1)
    }
  }

  @Test func changesOfOtherComponentsAreMeasured() throws {
    let model = try smallModel()
    let vae = try model.moved("vae", by: 0.05)
    func verified(_ candidate: Model) throws -> VerificationReport {
      try verifier().verify(
        reference: .init(name: "original", model: model),
        candidate: .init(name: "other", model: candidate),
        baselines: [.init(name: "vae", model: vae)])
    }
    let report = try verified(try model.moved("text_encoder", by: 0.05))
    let decoder = try #require(report.blocks.last)
    #expect(decoder.component == "vae")
    #expect(decoder.results[0]?.worst == 0)
    #expect(try #require(decoder.results[1]).worst > 0)
    let text = report.blocks.filter { $0.component == "text_encoder" }
    #expect(text.allSatisfy { ($0.results[0]?.worst ?? 0) > 0 && $0.results[1]?.worst == 0 })
    // Noise predictions use the reference's embeddings; runs use each model's own.
    #expect(report.summary(of: 0).worstPredictionError == 0)
    #expect(try #require(report.summary(of: 0).worstLatentError) > 0)
    // Baselines make no images.
    #expect(report.summary(of: 1).leastPSNR == nil)
    #expect(report.summary(of: 1).worstPredictionError == 0)
    let other = try verified(vae).summary(of: 0)
    #expect(other.worstLatentError == 0)
    #expect(try #require(other.leastPSNR) < .infinity)
  }

  @Test func thresholdsFailWhereTheyAreNotMet() throws {
    let model = try smallModel()
    let moved = try model.moved(by: 0.05)
    func checks(_ thresholds: VerificationThresholds) throws -> VerificationReport {
      try verifier(thresholds).verify(
        reference: .init(name: "original", model: model),
        candidate: .init(name: "moved", model: moved))
    }
    let strict = try checks(
      VerificationThresholds(
        minimumPSNR: 90, minimumSSIM: 0.99999, maximumLatentError: 1e-9, maximumStepError: 1e-9))
    #expect(strict.isMet == false)
    #expect(strict.checks.map(\.isMet) == [false, false, false, false])
    #expect(
      strict.checks.map(\.name)
        == ["min-psnr", "min-ssim", "max-latent-error", "max-step-error"])
    let summary = strict.summary(of: 0)
    #expect(strict.checks[0].measured == summary.leastPSNR)
    #expect(strict.checks[1].measured == summary.leastSSIM)
    #expect(strict.checks[2].measured == summary.worstLatentError)
    #expect(strict.checks[3].measured == summary.worstPredictionError)
    #expect(
      try checks(VerificationThresholds(minimumPSNR: 1, maximumStepError: 10)).isMet == true)
    #expect(try checks(VerificationThresholds()).isMet == nil)
  }

  @Test func thresholdsApplyToTheCandidateAlone() throws {
    let model = try smallModel()
    let moved = try model.moved(by: 0.05)
    func isMet(candidate: Model, baseline: Model) throws -> Bool? {
      try verifier(VerificationThresholds(minimumPSNR: 500)).verify(
        reference: .init(name: "original", model: model),
        candidate: .init(name: "candidate", model: candidate),
        baselines: [.init(name: "baseline", model: baseline)]
      ).isMet
    }
    #expect(try isMet(candidate: model, baseline: moved) == true)
    #expect(try isMet(candidate: moved, baseline: model) == false)
  }

  @Test func everySettingChangesTheReport() throws {
    let model = try smallModel()
    let moved = try model.moved(by: 0.02)
    func report(_ settings: VerificationSettings) throws -> VerificationReport {
      try Verifier(settings: settings, tool: "", machine: "").verify(
        reference: .init(name: "a", model: model), candidate: .init(name: "b", model: moved))
    }
    let settings = VerificationSettings(
      prompts: [Prompt("a red circle")], seeds: [7], steps: 2, guidanceScale: 3, blockSteps: 1)
    let base = try report(settings)
    let size = model.defaultSize
    let changes: [(name: String, change: (inout VerificationSettings) -> Void)] = [
      ("prompts", { $0.prompts = [Prompt("a blue square")] }),
      (
        "negative prompts",
        { $0.prompts = [Prompt("a red circle", negativePrompt: "a blue square")] }
      ),
      ("seeds", { $0.seeds = [8] }),
      ("steps", { $0.steps = 3 }),
      ("guidance scale", { $0.guidanceScale = 5 }),
      ("scheduler", { $0.scheduler = "euler" }),
      ("width", { $0.size = ImageSize(width: 32, height: size.height) }),
      ("height", { $0.size = ImageSize(width: size.width, height: 32) }),
    ]
    for (name, change) in changes {
      var changed = settings
      change(&changed)
      let found = try report(changed)
      #expect(found.images[0].reference != base.images[0].reference, "\(name)")
      #expect(found.images[0].results[0]?.image != base.images[0].results[0]?.image, "\(name)")
    }
    var changed = settings
    changed.blockSteps = 2
    let found = try report(changed)
    #expect(found.images[0].reference == base.images[0].reference)
    #expect(found.blocks != base.blocks)
  }

  @Test func negativePromptsBelongToTheirPrompts() throws {
    let model = try smallModel()
    let prompts = [
      Prompt("a cat"), Prompt("a cat", negativePrompt: "a dog"),
    ]
    let report = try Verifier(
      settings: VerificationSettings(
        prompts: prompts, steps: 2, guidanceScale: 3, size: ImageSize(width: 16, height: 16)),
      tool: "", machine: ""
    ).verify(reference: .init(name: "a", model: model), candidate: .init(name: "b", model: model))
    #expect(report.images.map(\.negativePrompt) == ["", "a dog"])
    var request = SamplingRequest(prompt: "a cat")
    (request.steps, request.guidanceScale, request.width, request.height) = (2, 3, 16, 16)
    let plain = try Sampler(model).generate(request).images[0]
    request.negativePrompt = "a dog"
    let other = try Sampler(model).generate(request).images[0]
    #expect(plain != other)
    #expect(report.images.map(\.reference) == [plain, other])
  }

  @Test func settingsAreWrittenOut() throws {
    let model = try smallModel()
    let report = try verifier().verify(
      reference: .init(name: "original", model: model, fileBytes: 5),
      candidate: .init(name: "same", model: model))
    #expect(report.settings.size == model.defaultSize)
    let kind = try model.schedulerKind(for: SamplingRequest(prompt: ""))
    let settings = report.json["settings"]?.object
    #expect(settings?["scheduler"] == .string(kind.className))
    #expect(settings?["scheduler_name"] == .string(kind.name))
    #expect(try ReportPage(report).html().contains("<th>scheduler</th><td>\(kind.className)</td>"))
    #expect(report.reference.fileBytes == 5)
    #expect(report.reference.parameters > 0)
    #expect(report.reference.bytes == report.reference.parameters * 2)
    #expect(report.reference.components.map(\.name) == ["text_encoder", "unet", "vae"])
  }

  @Test func anotherScheduleIsNoted() throws {
    let model = try smallModel()
    var source = model.source
    source.scheduler?["beta_end"] = 0.02
    let report = try verifier().verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "same", model: try Model.bind(source)))
    #expect(
      report.notes == [
        "The models have different scheduler configs; all images were generated with the "
          + "reference's."
      ])
    #expect(report.summary(of: 0).leastPSNR == .infinity)
  }

  @Test func progressCountsToItsTotal() throws {
    let model = try smallModel()
    var seen: [Int] = []
    var total = 0
    _ = try verifier().verify(
      reference: .init(name: "a", model: model), candidate: .init(name: "b", model: model)
    ) {
      seen.append($0)
      total = $1
    }
    #expect(seen.first == 1 && seen.last == total)
    #expect(zip(seen, seen.dropFirst()).allSatisfy { $0 < $1 })
  }

  // MARK: - Refusals

  @Test func modelsOfAnotherTextWidth() throws {
    let model = try smallModel()
    let other = try Model.bind(try miniature())
    #expect(
      throws: VerificationError.mismatch(
        what: "cross-attention dimensions", reference: "original",
        expected: model.unet.crossAttentionDim[0], candidate: "other",
        found: other.unet.crossAttentionDim[0])
    ) {
      _ = try verifier().verify(
        reference: .init(name: "original", model: model),
        candidate: .init(name: "other", model: other))
    }
    let error = VerificationError.mismatch(
      what: "latent channels", reference: "a", expected: 16, candidate: "b", found: 4)
    #expect(
      error.description
        == "b cannot be compared with a: latent channels differ: 16 (reference) and 4 (candidate)")
    #expect(error.remedy == .act("compare a model with the model that it was made from"))
  }

  @Test func modelsOfAnotherArchitecture() throws {
    let model = try Model.bind(try miniature())
    let other = try Model.bind(try miniatureXL())
    let error = #expect(throws: VerificationError.self) {
      _ = try verifier().verify(
        reference: .init(name: "a", model: model), candidate: .init(name: "b", model: other))
    }
    #expect(
      error?.description
        == "b cannot be compared with a: a is \(model.family.title) and b is \(other.family.title), "
        + "expected models of one architecture")
    #expect(error?.remedy == .act("compare a model with the model that it was made from"))
  }

  @Test func noPromptsOrSeeds() throws {
    let model = try smallModel()
    func verify(prompts: [Prompt], seeds: [UInt64]) throws {
      _ = try Verifier(
        settings: VerificationSettings(prompts: prompts, seeds: seeds), tool: "", machine: ""
      ).verify(
        reference: .init(name: "a", model: model), candidate: .init(name: "b", model: model))
    }
    #expect(throws: VerificationError.noPrompts) { try verify(prompts: [], seeds: [1]) }
    #expect(throws: VerificationError.noSeeds) { try verify(prompts: [.init("a")], seeds: []) }
    #expect(VerificationError.noPrompts.description == "the verification has no prompts")
    #expect(VerificationError.noSeeds.description == "the verification has no seeds")
  }
}
