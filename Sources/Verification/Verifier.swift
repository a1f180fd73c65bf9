package import Kernels
import ModelSources
package import Models
import Sampling
import Support
internal import Tensors

/// Compares models with a reference on the same prompts and seeds: by tensor, block, step and
/// image.
///
/// Models run one after another, so at most two, including the reference, are in memory.
package struct Verifier: Sendable {
  /// A model to compare, with its name in the report.
  package struct Subject: Sendable {
    package let name: String
    package let model: Model
    /// Size of its files in bytes; `nil` if it is not stored in files.
    package let fileBytes: Int?
    /// Arithmetic of its sampler.
    package let arithmetic: Arithmetic

    package init(
      name: String, model: Model, fileBytes: Int? = nil, arithmetic: Arithmetic = .f32
    ) {
      self.name = name
      self.model = model
      self.fileBytes = fileBytes
      self.arithmetic = arithmetic
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
  ///   - baselines: other reductions of the reference, measured like the candidate.
  ///   - renames: blocks that are renumbered in the candidate; `nil` reads them from its
  ///     provenance.
  ///   - progress: called after each unit of work.
  /// - Throws: ``VerificationError``, an error of the sampler, or `CancellationError`.
  package func verify(
    reference: Subject, candidate: Subject, baselines: [Subject] = [],
    renames: BlockRenames? = nil, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> VerificationReport {
    let compared = [candidate] + baselines
    for subject in compared { try checkComparable(subject, with: reference) }
    guard !settings.prompts.isEmpty else { throw VerificationError.noPrompts }
    guard !settings.seeds.isEmpty else { throw VerificationError.noSeeds }
    let provenance = try candidate.model.source.completedProvenance()
    let original = try reference.model.source.completedProvenance()
    let renames = renames ?? BlockRenames(candidate: provenance, reference: original)

    let sampler = try Sampler(reference.model, arithmetic: reference.arithmetic)
    let settings = settings(for: sampler)
    let requests = requests(
      settings,
      scheduler: reference.model.scheduler ?? reference.model.family.architecture.scheduler)
    let stepCount = try sampler.scheduler(for: requests[0]).timesteps.count
    let blockSteps = spread(settings.blockSteps, over: stepCount)

    var done = 0
    let perImage = stepCount + compared.count * (2 * stepCount + blockSteps.count)
    let total = 1 + requests.count * perImage
    func count() {
      done += 1
      progress(done, total)
    }

    let (tensors, absent) = try compareTensors(candidate.model, reference.model, renames)
    count()
    let trajectories = try requests.map { try Trajectory($0, of: sampler, progress: count) }
    var measures: [Measures] = []
    for (index, subject) in compared.enumerated() {
      let other = try Sampler(subject.model, arithmetic: subject.arithmetic)
      let subjectRenames = index == 0 ? renames : BlockRenames()
      measures.append(
        Measures(
          deviations: try trajectories.map {
            try Deviation(
              other, from: $0, reference: sampler, blockSteps: blockSteps,
              renames: subjectRenames, progress: count)
          },
          texts: try compareTexts(other, sampler, settings)))
    }

    var resolved = settings
    let scheduler = try reference.model.schedulerKind(for: requests[0])
    (resolved.scheduler, resolved.schedulerClass) = (scheduler.name, scheduler.className)
    return report(
      settings: resolved, reference: reference, compared: compared, tensors: tensors,
      absent: absent, trajectories: trajectories, measures: measures,
      order: try blockOrder(sampler, trajectories[0]), provenance: provenance)
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
  private func settings(for sampler: Sampler) -> VerificationSettings {
    var settings = settings
    var request = SamplingRequest(prompt: "")
    request.setSize(settings.size)
    settings.size = sampler.size(for: request)
    return settings
  }

  private func requests(
    _ settings: VerificationSettings, scheduler: JSONObject
  ) -> [SamplingRequest] {
    settings.prompts.flatMap { prompt in
      settings.seeds.map { seed in
        var request = SamplingRequest(prompt: "")
        request.setPrompt(prompt)
        request.steps = settings.steps
        request.guidanceScale = settings.guidanceScale
        request.scheduler = settings.scheduler
        // The same schedule for all models, so that steps are comparable.
        request.schedulerConfig = scheduler
        request.seed = seed
        request.setSize(settings.size)
        return request
      }
    }
  }

  // MARK: - Tensors and texts

  private func compareTensors(
    _ candidate: Model, _ reference: Model, _ renames: BlockRenames
  ) throws -> (results: [VerificationReport.TensorResult], absent: Int) {
    var results: [VerificationReport.TensorResult] = []
    var absent = 0
    for expected in reference.components {
      guard let found = candidate[expected.name] else {
        absent += expected.modules.tensors.count
        continue
      }
      let shapes = Dictionary(
        uniqueKeysWithValues: expected.modules.tensors.map { ($0.name, $0.shape) })
      let before = results.count
      for tensor in found.modules.tensors {
        try Cancellation.check()
        let original =
          expected.name == ComponentName.unet ? renames.original(of: tensor.name) : tensor.name
        guard shapes[original] == tensor.shape else { continue }
        let (a, b) = (
          try expected.weights.tensor(original), try found.weights.tensor(tensor.name)
        )
        let measures = ErrorMeasures(reference: a, candidate: b)
        results.append(
          VerificationReport.TensorResult(
            component: expected.name, name: tensor.name, reference: original,
            shape: tensor.shape, before: a.encoding, after: b.encoding, sqnr: measures.sqnr,
            relativeError: measures.relativeRMS, cosine: measures.cosine,
            largestDifference: measures.largestDifference))
      }
      absent += shapes.count - (results.count - before)
    }
    return (results, absent)
  }

  /// Relative errors of the text encoders' blocks, for each text.
  private func compareTexts(
    _ sampler: Sampler, _ reference: Sampler, _ settings: VerificationSettings
  ) throws -> [[String: Double]] {
    try texts(settings).map { text in
      let expected = RecordingTap()
      _ = try reference.embed(text, observer: expected)
      let tap = ComparingTap(expected, renames: BlockRenames())
      _ = try sampler.embed(text, observer: tap)
      return tap.errors
    }
  }

  private func texts(_ settings: VerificationSettings) -> [String] {
    settings.prompts.map(\.prompt) + (settings.guidanceScale > 1 ? settings.negativePrompts : [])
  }

  /// All blocks by component and name, in the order of execution.
  private func blockOrder(
    _ sampler: Sampler, _ trajectory: Trajectory
  ) throws -> [(component: String, name: String)] {
    let text = RecordingTap()
    _ = try sampler.embed(trajectory.request.prompt, observer: text)
    let unet = RecordingTap()
    if let step = trajectory.steps.first {
      _ = try sampler.predict(
        step.modelInput, timestep: step.timestep, conditioning: trajectory.conditioning,
        observer: unet)
    }
    // With more than one encoder, block names begin with the component's name.
    let encoders = sampler.model.components.map(\.name).filter(
      ComponentName.textEncoders.contains)
    let texts = text.names.map { name in
      for encoder in encoders where name.hasPrefix(encoder + ".") {
        return (component: encoder, name: String(name.dropFirst(encoder.count + 1)))
      }
      return (component: encoders.first ?? ComponentName.textEncoder, name: name)
    }
    return texts + unet.names.map { (ComponentName.unet, $0) }
      + [(ComponentName.vae, "decoder")]
  }
}

/// The measurements of one model.
struct Measures {
  /// One for each trajectory.
  let deviations: [Deviation]
  /// Relative errors of the text encoders' blocks, for each text.
  let texts: [[String: Double]]

  func errors(_ component: String, _ block: String) -> [Double] {
    switch component {
    case ComponentName.unet: deviations.flatMap { $0.blocks.compactMap { $0[block] } }
    case ComponentName.vae: deviations.map(\.decoder)
    default: texts.compactMap { $0["\(component).\(block)"] ?? $0[block] }
    }
  }
}
