package import Calibration
package import Kernels
import ModelSources
package import Models
import Sampling
import Support

/// Compares models with a reference on the same prompts and seeds: by tensor, block, step and
/// image.
///
/// The reference runs once and its calls are recorded. The other models evaluate these calls
/// (teacher-forced). Only the candidate also makes images of its own. Models run one after another,
/// so at most two, including the reference, are in memory.
package struct Verifier: Sendable {
  /// A model to compare, with its name in the report.
  package struct Subject: Sendable {
    package let name: String
    package let model: Model
    /// Size of its files in bytes; `nil` if it is not stored in files.
    package let fileBytes: Int?
    /// Arithmetic of its sampler.
    package let arithmetic: Arithmetic
    /// Whether the U-Net's input and its predictions are rounded to float16.
    package let roundsToHalf: Bool

    package init(
      name: String, model: Model, fileBytes: Int? = nil, arithmetic: Arithmetic = .f32,
      roundsToHalf: Bool = false
    ) {
      self.name = name
      self.model = model
      self.fileBytes = fileBytes
      self.arithmetic = arithmetic
      self.roundsToHalf = roundsToHalf
    }
  }

  package let settings: VerificationSettings
  package let thresholds: VerificationThresholds
  /// Name and version of the program, for the report: `decant 1.0`.
  package let tool: String
  /// Description of the machine, for the report: processor, threads.
  package let machine: String

  package init(
    settings: VerificationSettings, thresholds: VerificationThresholds = VerificationThresholds(),
    tool: String, machine: String
  ) {
    self.settings = settings
    self.thresholds = thresholds
    self.tool = tool
    self.machine = machine
  }

  /// Runs the reference, the candidate and the baselines, and measures their errors.
  ///
  /// - Parameters:
  ///   - baselines: other reductions of the reference. They make no images.
  ///   - recorded: calls of the reference that were recorded before, such as those of its
  ///     calibration; `nil` records calls. They are not used where the reference predicts something
  ///     else for them.
  ///   - sensitivities: the sensitivities of the reference's layers, for the report.
  ///   - command: the command line that repeats the verification, for the report.
  ///   - renames: blocks that are renumbered in the candidate; `nil` reads them from its
  ///     provenance.
  ///   - progress: called after each call and each image, in units of the calls of the smallest
  ///     size.
  ///   - planned: called before the first progress.
  /// - Throws: ``VerificationError``, an error of the sampler, or `CancellationError`.
  package func verify(
    reference: Subject, candidate: Subject, baselines: [Subject] = [],
    recorded: RecordedCalls? = nil, sensitivities: Sensitivities? = nil, command: String? = nil,
    renames: BlockRenames? = nil, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in },
    planned: (VerificationPlan) -> Void = { _ in }
  ) throws -> VerificationReport {
    let compared = [candidate] + baselines
    for subject in compared { try checkComparable(subject, with: reference) }
    guard !settings.prompts.isEmpty else { throw VerificationError.noPrompts }
    guard !settings.seeds.isEmpty else { throw VerificationError.noSeeds }
    let provenance = try candidate.model.source.completedProvenance()
    let original = try reference.model.source.completedProvenance()
    let renames = renames ?? BlockRenames(candidate: provenance, reference: original)

    let sampler = try Sampler(reference.model, arithmetic: reference.arithmetic)
    var request = SamplingRequest(prompt: "")
    request.setSize(settings.size)
    let size = sampler.size(for: request)
    // Calls of another model or with other text states would be compared with wrong predictions.
    var reused = try recorded.map {
      try ReferenceBlocks($0, by: sampler, count: settings.blockSteps)
    }
    if reused?.isRepeatable == false { reused = nil }
    let runs = try ReferenceRuns(
      settings, size: size, of: sampler, recorded: reused == nil ? nil : recorded)
    planned(runs.plan(baselines: baselines.count, reusesCalls: reused != nil))

    var done = 0
    let total = runs.work(models: compared.count)
    func advance(_ work: Int) {
      done += work
      progress(done, total)
    }
    let (tensors, absent) = try compareTensors(candidate.model, reference.model, renames)
    advance(1)
    let found = try runs.perform(by: sampler, progress: advance)
    let blocks =
      try reused
      ?? ReferenceBlocks(
        RecordedCalls(found.calls, runs.settings), by: sampler, count: settings.blockSteps)
    if runs.blockWork > 0 { advance(runs.blockWork) }

    var models: [Measures] = []
    for (index, subject) in compared.enumerated() {
      let other = try Sampler(subject.model, arithmetic: subject.arithmetic)
      let evaluation = try CallEvaluation(
        CallReplay(blocks.replay, by: other), guidanceScale: blocks.settings.guidanceScale,
        roundsToHalf: subject.roundsToHalf, taps: blocks.taps,
        renames: index == 0 ? renames : BlockRenames()
      ) { advance(runs.weight(of: $0.run.size)) }
      var deviations: [Deviation] = []
      for trajectory in index == 0 ? found.trajectories : [] {
        deviations.append(
          try Deviation(other, from: trajectory) {
            advance(runs.weight(of: size))
          } didDecode: {
            advance(runs.imageWork)
          })
      }
      models.append(
        Measures(
          evaluation: evaluation, deviations: deviations,
          decoder: try found.trajectories.first.map {
            try decoderError(of: other, subject, reference: reference, for: $0)
          },
          texts: try compareTexts(other, sampler, settings)))
    }
    return report(
      Measurements(
        settings: try resolved(size: size, images: runs.imageRuns.count, by: reference.model),
        calls: blocks.settings, reusesCalls: reused != nil,
        ignoresCalls: recorded != nil && reused == nil, tensors: tensors, absent: absent,
        trajectories: found.trajectories, models: models,
        order: try blockOrder(sampler, blocks.names, hasImages: !found.trajectories.isEmpty),
        sensitivities: sensitivities, command: command, provenance: provenance),
      reference: reference, compared: compared)
  }

  // MARK: - Checks and requests

  /// Checks that two models can be compared. Reads no weights.
  package func checkComparable(
    _ candidate: Subject, with reference: Subject
  ) throws(VerificationError) {
    let (a, b) = (reference.model, candidate.model)
    guard a.family.architecture.name == b.family.architecture.name else {
      throw .architectures(
        reference: reference.name, expected: a.family.title, candidate: candidate.name,
        found: b.family.title)
    }
    let numbers: [(String, Int, Int)] = [
      ("latent channels", a.vae.latentChannels, b.vae.latentChannels),
      ("VAE downsampling factors", a.vae.downsamplingFactor, b.vae.downsamplingFactor),
      ("U-Net input channels", a.unet.inChannels, b.unet.inChannels),
      ("cross-attention dimensions", a.unet.crossAttentionDim[0], b.unet.crossAttentionDim[0]),
    ]
    for (what, expected, found) in numbers where expected != found {
      throw .mismatch(
        what: what, reference: reference.name, expected: expected, candidate: candidate.name,
        found: found)
    }
  }

  /// The settings with the defaults that come from the reference filled in.
  private func resolved(
    size: ImageSize, images: Int, by model: Model
  ) throws -> VerificationSettings {
    var settings = settings
    var request = SamplingRequest(prompt: "")
    request.scheduler = settings.scheduler
    let scheduler = try model.schedulerKind(for: request)
    settings.size = size
    settings.images = images
    (settings.scheduler, settings.schedulerClass) = (scheduler.name, scheduler.className)
    return settings
  }
}
