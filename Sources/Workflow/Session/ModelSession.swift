internal import ModelSources
internal import Models
package import Sampling
package import Support
private import Synchronization
package import Tensors

/// A model that is loaded once and serves many requests.
///
/// Opening a session reads nothing. The first request that needs the model reads it, checks its
/// tensors and prepares it to run; later requests reuse it. Requests run one after another, on a
/// thread of the session's own. Cancelling the task of a request ends it with `CancellationError`:
/// at once while it waits for the requests before it, and within one layer of the model while it
/// runs. The session serves the requests after it.
package final class ModelSession: Sendable {
  /// The path of the model, or the name of its family.
  package let path: String
  private let reading: InputOptions
  private let isSynthetic: Bool
  private let compute: Compute
  private let requests = RequestQueue()
  private let queue: ComputeQueue
  private let loaded = Mutex(Loaded())
  /// The files of the model, which are mapped as long as it is loaded.
  private let files = MappedFiles()
  /// The map from latents to colors, once a request has reported latents.
  private let latentPreview = Mutex<LatentPreview?>(nil)

  /// What the session keeps between requests.
  private struct Loaded {
    var source: ModelSource?
    var model: Model?
    var sampler: Sampler?
  }

  /// - Parameter path: a file or folder of any layout that Decant reads.
  package init(path: String, reading: InputOptions, settings: ComputeSettings) {
    self.path = path
    self.reading = reading
    isSynthetic = false
    compute = settings.compute
    queue = ComputeQueue(threads: settings.threads)
  }

  /// A session of a family's full-size model with random weights.
  ///
  /// - Parameter family: the family's name; an unknown one is refused when the model is first needed.
  package init(family: String, settings: ComputeSettings) {
    path = family
    reading = InputOptions()
    isSynthetic = true
    compute = settings.compute
    queue = ComputeQueue(threads: settings.threads)
  }

  // MARK: - Requests

  /// The description of the model: family, layout, sizes by component and block.
  ///
  /// - Parameter listsTensors: whether every tensor is listed.
  package func inspect(
    listsTensors: Bool = false, _ events: @escaping EventSink = { _ in }
  ) async throws -> Inspection {
    try await serve { loaded in
      let source = try self.source(&loaded, events)
      return try Inspection(
        source: source, finding: Inspection.Finding(source), check: nil,
        listsTensors: listsTensors)
    }
  }

  /// Facts about the model that a user chooses settings by. Reads no weights.
  package func facts(_ events: @escaping EventSink = { _ in }) async throws -> ModelFacts {
    try await serve { loaded in
      try ModelFacts(
        self.model(&loaded, events), name: PathParts(self.path).name,
        fileBytes: self.isSynthetic ? nil : bytesOnDisk(self.path))
    }
  }

  /// The results of a verification that the model's file has; `nil` where it has none.
  package var verification: JSONObject? {
    isSynthetic ? nil : Layouts.verification(in: path)
  }

  /// A small picture of the first entry of unfinished latents, [count, channels, h, w]: a pixel for each
  /// place. `nil` until a request reports latents.
  package func preview(of latents: Tensor) -> Image? {
    latentPreview.withLock { $0?.images(of: latents).first }
  }

  /// Generates the images of each prompt.
  ///
  /// - Parameter reportsLatents: whether an event reports the latents after each step.
  /// - Throws: ``GenerateError`` before anything is read, ``JobError``, errors of the model and of
  ///   the sampler, or `CancellationError`.
  package func generate(
    _ request: GenerateRequest, reportsLatents: Bool = false,
    _ events: @escaping EventSink = { _ in }
  ) async throws -> [Generation] {
    // An impossible request does not wait for others.
    try request.check()
    return try await serve { loaded in
      let samplings = try request.samplings
      try self.check(request, as: samplings, &loaded, events)
      return try samplings.enumerated().map { index, sampling in
        try self.generate(
          sampling, index: index, of: samplings.count, reportsLatents: reportsLatents, &loaded,
          events)
      }
    }
  }

  /// Generates the images of a request with both models and compares them. This session's model is
  /// the reference.
  ///
  /// - Throws: ``JobError`` when the models' images differ in size, or what
  ///   ``generate(_:reportsLatents:_:)`` throws.
  package func compare(
    with candidate: ModelSession, _ request: GenerateRequest,
    _ events: @escaping EventSink = { _ in }
  ) async throws -> [ComparedImages] {
    let expected = try await generate(request, events).flatMap(\.images)
    let found = try await candidate.generate(request, events).flatMap(\.images)
    return try zip(expected, found).map { reference, image in
      guard (reference.width, reference.height) == (image.width, image.height) else {
        throw JobError(
          "the images differ in size: \(reference.width)x\(reference.height) of \(path) and "
            + "\(image.width)x\(image.height) of \(candidate.path)",
          remedy: .choose(.size, purpose: "for both models"))
      }
      return ComparedImages(reference: reference, candidate: image)
    }
  }

  /// Releases the model after the requests before this call, even if the task is cancelled. The
  /// next request reads the model again.
  package func unload() async {
    // An unstructured task is not cancelled with its caller.
    _ = await Task { try? await serve { $0 = Loaded() } }.value
  }

  // MARK: - Parts of a request

  /// Checks that the model can carry out a request, and notes what a user should know about it.
  func check(
    _ request: GenerateRequest, as samplings: [SamplingRequest], _ events: @escaping EventSink
  ) async throws {
    try await serve { try self.check(request, as: samplings, &$0, events) }
  }

  /// The size of the images of each prompt.
  func imageSizes(of samplings: [SamplingRequest]) async throws -> [ImageSize] {
    try await serve { loaded in
      let model = try self.model(&loaded) { _ in }
      return samplings.map { model.size(for: $0) }
    }
  }

  /// Generates the images of one prompt of a request that was checked.
  ///
  /// - Parameters:
  ///   - index: the prompt's place among the request's prompts, from 0.
  ///   - count: the number of the request's prompts.
  func generate(
    _ sampling: SamplingRequest, index: Int, of count: Int, _ events: @escaping EventSink
  ) async throws -> Generation {
    try await serve {
      try self.generate(sampling, index: index, of: count, reportsLatents: false, &$0, events)
    }
  }

  /// Runs `body` on the session's thread after the requests before it.
  private func serve<Result: Sendable>(
    _ body: @Sendable (inout Loaded) throws -> Result
  ) async throws -> Result {
    try await requests.run {
      try await queue.run {
        try await self.files.recording { try self.loaded.withLock { try body(&$0) } }
      }
    }
  }

  // MARK: - Loading

  private func source(_ loaded: inout Loaded, _ events: EventSink) throws -> ModelSource {
    if let source = loaded.source { return source }
    events(.stage(.reading([path])))
    let source =
      isSynthetic
      ? try syntheticModel(family: path, seed: 0, type: defaultRandomType)
      : try ModelSource.reading(path, reading, events)
    loaded.source = source
    return source
  }

  private func model(_ loaded: inout Loaded, _ events: EventSink) throws -> Model {
    if let model = loaded.model { return model }
    let model = try Model.bind(source(&loaded, events))
    loaded.model = model
    return model
  }

  private func sampler(_ loaded: inout Loaded, _ events: EventSink) throws -> Sampler {
    if let sampler = loaded.sampler { return sampler }
    let model = try model(&loaded, events)
    events(.stage(.loading(path)))
    let sampler = try Sampler(model, arithmetic: compute.arithmetic)
    loaded.sampler = sampler
    return sampler
  }

  // MARK: - Generating

  private func check(
    _ request: GenerateRequest, as samplings: [SamplingRequest], _ loaded: inout Loaded,
    _ events: EventSink
  ) throws {
    let model = try model(&loaded, events)
    for sampling in samplings {
      try model.check(sampling)
      try model.checkMemory(for: sampling, images: samplings.count * sampling.count)
    }
    try noteTruncation(
      of: request.prompts + [request.negativePrompt].compactMap { $0 }, by: model, events)
    if let first = samplings.first { noteResizing(first, of: request, model, events) }
  }

  private func generate(
    _ sampling: SamplingRequest, index: Int, of count: Int, reportsLatents: Bool,
    _ loaded: inout Loaded, _ events: EventSink
  ) throws -> Generation {
    let sampler = try sampler(&loaded, events)
    // Weights that are not stored as they are used take memory since the request was checked.
    try sampler.model.checkMemory(for: sampling, images: sampling.count)
    let name = PathParts(path).name
    events(.stage(.generating(model: name, prompt: index, of: count)))
    let observer = reportsLatents ? StepLatents() : nil
    if reportsLatents, latentPreview.withLock({ $0 == nil }) {
      let preview = try sampler.latentPreview()
      latentPreview.withLock { $0 = preview }
    }
    var steps = 0
    let latents = try sampler.denoise(sampling, observer: observer) { done, total in
      steps = total
      if let latents = observer?.take() {
        events(.latents(step: done, total: total, latents))
      }
      events(.progress(done: done, total: total + sampling.count))
    }
    guard reading.allowsNonfinite || latents.values.allSatisfy(\.isFinite) else {
      throw JobError(
        "\(path): the latents are NaN or infinite after the last step",
        remedy: .either([
          .adjust(.guidanceScale, .smaller),
          .adjust(.scheduler, .other),
          .checkWeights,
        ]))
    }
    let images = try sampler.decode(latents) { done, total in
      events(.progress(done: steps + done, total: steps + total))
    }
    if reportsLatents, let image = images.first {
      let first = latents.entries(0..<1)
      latentPreview.withLock { $0?.add(first, decodedTo: image) }
    }
    let parameters = try images.indices.map { image in
      try sampler.parameters(for: sampling, image: image, modelName: name)
    }
    return Generation(images: images, latents: latents, parameters: parameters)
  }

  /// Notes an initial image whose sides are not multiples of the autoencoder's factor, when the
  /// request names no size.
  private func noteResizing(
    _ sampling: SamplingRequest, of request: GenerateRequest, _ model: Model, _ events: EventSink
  ) {
    guard let image = sampling.initialImage?.image, let path = request.initImagePath else { return }
    let size = model.size(for: sampling)
    let isCut =
      request.width == nil && size.width != image.width
      || request.height == nil && size.height != image.height
    guard isCut else { return }
    let factor = model.vae.downsamplingFactor
    events(
      .note(
        "\(path) is \(image.width)x\(image.height), and sides must be multiples of \(factor); "
          + "it is resized to \(size.width)x\(size.height), as diffusers does",
        remedy: .choose(.size, purpose: "for another size")))
  }
}

/// Keeps the latents after a step until they are reported.
private final class StepLatents: SamplingObserver {
  private let latents = Mutex<Tensor?>(nil)

  func didStep(_ step: SamplingStep) { latents.withLock { $0 = step.after } }

  /// The latents of the last step, once.
  func take() -> Tensor? { latents.withLock { $0.take() } }
}
