package import Execution
package import Kernels
internal import ModelSources
package import Models
internal import Support
package import Tensors

/// Makes pictures from text: diffusers' `StableDiffusionPipeline` on the CPU, in float32.
///
/// Components are loaded once; stored weights stay as they are stored and are widened when they are
/// used. Results do not depend on the number of threads.
package struct Sampler: Sendable {
  package let model: Model
  /// Latent pixels of all pictures that go through the U-Net in one call, which bounds its memory:
  /// four pictures of 512 x 512 with and without the text.
  package var latentPixelsPerCall = 4 * 64 * 64

  let prompts: PromptEncoder
  private let arithmetic: Arithmetic
  private let unet: UNet
  private let decoder: VAEDecoder

  /// - Parameter arithmetic: how the U-Net computes, and in floats the autoencoder.
  /// - Throws: ``TokenizerError``, ``SamplingError``, or what the model's weights throw.
  package init(_ model: Model, arithmetic: Arithmetic = .f32) throws {
    let location = model.source.location
    guard model.vae.outChannels == 3 else {
      throw SamplingError.notTextToImage(
        location: location,
        found: "the autoencoder paints \(model.vae.outChannels) channels, expected 3")
    }
    self.model = model
    prompts = try PromptEncoder(model)
    self.arithmetic = arithmetic
    unet = try UNet(model, arithmetic: arithmetic)
    decoder = try VAEDecoder(model, arithmetic: arithmetic)
  }

  // MARK: - Whole runs

  /// Latents and pictures of a request.
  ///
  /// - Parameters:
  ///   - observer: sees the U-Net's calls and the steps.
  ///   - progress: called with U-Net calls and decoded pictures that are done, and their number.
  /// - Throws: ``SamplingError``, ``SchedulerError``, `CancellationError`, or what weights throw.
  package func generate(
    _ request: SamplingRequest, observer: (any SamplingObserver)? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> (latents: Tensor, pictures: [Image]) {
    var steps = 0
    let latents = try denoise(request, observer: observer) { done, total in
      steps = total
      progress(done, total + request.count)
    }
    let pictures = try decode(latents) { done, total in progress(steps + done, steps + total) }
    return (latents, pictures)
  }

  /// The latents after the last step, before the autoencoder: [count, channels, height / 8,
  /// width / 8].
  ///
  /// - Parameter conditioning: texts that are encoded already; `nil` encodes the request's.
  package func denoise(
    _ request: SamplingRequest, conditioning: Conditioning? = nil,
    observer: (any SamplingObserver)? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Tensor {
    try model.check(request)
    let shape = try model.latentShape(for: request)
    var scheduler = try scheduler(for: request)
    var conditioning = try conditioning ?? self.conditioning(for: request)
    var generator = TorchGenerator(seed: request.seed)
    let start = try start(
      request, shape: shape, scheduler: scheduler, generator: &generator)
    conditioning.extraChannels = start.extraChannels ?? conditioning.extraChannels
    scheduler.begin(at: start.firstStep)
    var latents = start.latents
    let total = scheduler.timesteps.count - start.firstStep
    for (index, timestep) in scheduler.timesteps.enumerated().dropFirst(start.firstStep) {
      let input = scheduler.modelInput(latents, at: index)
      let prediction = try predict(
        input, timestep: timestep, conditioning: conditioning, step: index, observer: observer)
      let earlier = scheduler
      var noise: Tensor?
      let stepped = scheduler.step(prediction.guided, at: index, sample: latents) {
        let drawn = generator.randn(shape)
        noise = drawn
        return drawn
      }
      let after = start.held(stepped, after: index, of: scheduler)
      observer?.didStep(
        SamplingStep(
          index: index, timestep: timestep, before: latents, modelInput: input,
          prediction: prediction, after: after, scheduler: earlier, noise: noise))
      latents = after
      progress(index + 1 - start.firstStep, total)
    }
    return latents
  }

  // MARK: - Parts of a run

  /// What a text becomes for the U-Net.
  package func embed(
    _ text: String, observer: (any ActivationObserver)? = nil
  ) throws -> EncodedPrompt { try prompts.encode(text, observer: observer) }

  /// The autoencoder's other half, made when it is needed: pictures are rarely begun with.
  func encoder() throws -> VAEEncoder { try VAEEncoder(model, arithmetic: arithmetic) }

  /// The scheduler of a request, with the corrections that diffusers' pipeline makes to configs.
  package func scheduler(for request: SamplingRequest) throws(SchedulerError) -> any Scheduler {
    try model.scheduler(for: request)
  }

  /// Asks the U-Net, with guidance where the conditioning has it.
  ///
  /// Pictures of a batch go through the U-Net together, the unconditional half first, as diffusers
  /// does; large ones in several calls, which bounds memory and changes nothing else.
  ///
  /// - Parameters:
  ///   - modelInput: latents as the scheduler scaled them, [count, channels, h, w].
  ///   - step: index of the step, for the observer.
  package func predict(
    _ modelInput: Tensor, timestep: Float, conditioning: Conditioning, step: Int = 0,
    observer: (any SamplingObserver)? = nil
  ) throws -> NoisePrediction {
    let count = modelInput.shape[0]
    let area = modelInput.shape[2] * modelInput.shape[3]
    let perCall = max(1, latentPixelsPerCall / max(1, area))
    var unconditional: [Float] = []
    var conditional: [Float] = []
    for start in stride(from: 0, to: count, by: perCall) {
      try Task.checkCancellation()
      let pictures = start..<min(start + perCall, count)
      var sample = modelInput.entries(pictures)
      if let extra = conditioning.extraChannels {
        sample = Tensor(joiningChannels: [sample, extra.repeated(pictures.count)])
      }
      let call = UNetCall(
        step: step, timestep: timestep,
        branches: conditioning.unconditional == nil
          ? [.conditional] : [.unconditional, .conditional],
        pictures: pictures)
      let branches = [conditioning.unconditional, conditioning.conditional].compactMap { $0 }
      func stacked(_ part: (Conditioning.Branch) -> Tensor) -> Tensor {
        Tensor(stacking: branches.flatMap { branch in pictures.map { _ in part(branch) } })
      }
      var added: UNet.AddedConditioning?
      if let own = conditioning.conditional.added {
        added = UNet.AddedConditioning(
          textEmbeds: stacked { $0.added?.pooled ?? own.pooled },
          timeIDs: stacked { $0.added?.timeIDs ?? own.timeIDs })
      }
      let output = try unet(
        sample: Tensor(stacking: branches.map { _ in sample }), timesteps: [timestep],
        encoderHiddenStates: stacked(\.states),
        timestepCondition: conditioning.guidanceEmbedding?.repeated(
          pictures.count * branches.count),
        added: added, observer: observer?.activationObserver(for: call))
      if branches.count == 2 {
        unconditional += output.entries(0..<pictures.count).values
        conditional += output.entries(pictures.count..<2 * pictures.count).values
      } else {
        conditional += output.values
      }
    }
    let withText = Tensor(shape: modelInput.shape, values: conditional)
    guard conditioning.unconditional != nil else {
      return NoisePrediction(unconditional: nil, conditional: withText, guided: withText)
    }
    let withoutText = Tensor(shape: modelInput.shape, values: unconditional)
    var guided = withoutText
    for index in guided.values.indices {
      guided.values[index] +=
        conditioning.guidanceScale * (withText.values[index] - withoutText.values[index])
    }
    return NoisePrediction(
      unconditional: withoutText, conditional: withText, guided: guided)
  }

  /// The pictures of latents, one after another.
  package func decode(
    _ latents: Tensor, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> [Image] {
    let count = latents.shape[0]
    return try (0..<count).map { index in
      let picture = Image.pictures(decoded: try image(of: latents.entries(index..<index + 1)))[0]
      progress(index + 1, count)
      return picture
    }
  }

  /// The autoencoder's numbers for latents as the sampler has them: [B, 3, H, W], -1 to 1.
  package func image(of latents: Tensor) throws -> Tensor {
    try Task.checkCancellation()
    // What the U-Net's activations leave is of no use to the decoder's, which are far larger.
    trimHeap()
    let factor = Float(model.vae.scalingFactor)
    return try decoder.decode(
      Tensor(shape: latents.shape, values: latents.values.map { $0 / factor }))
  }

  // MARK: - What a request comes to

  /// Width and height in pixels.
  package func size(for request: SamplingRequest) -> (width: Int, height: Int) {
    model.size(for: request)
  }

  /// What a picture of the request carries as its `parameters`.
  ///
  /// - Parameters:
  ///   - picture: which of the request's pictures, from 0.
  ///   - name: how the model is called there.
  package func parameters(
    for request: SamplingRequest, picture: Int, modelName name: String
  ) throws(SchedulerError) -> GenerationParameters {
    let kind =
      if let name = request.scheduler {
        try Schedulers.named(name)
      } else {
        try Schedulers.described(by: model.schedulerConfig(for: request))
      }
    let (width, height) = size(for: request)
    var parameters = GenerationParameters(
      prompt: request.prompt, negativePrompt: request.negativePrompt ?? "", steps: request.steps,
      sampler: kind.title, guidanceScale: request.guidanceScale, seed: request.seed, width: width,
      height: height, model: name)
    parameters.denoisingStrength = request.image?.strength
    parameters.isMasked = request.image?.mask != nil
    if request.count > 1 {
      parameters.batch = GenerationParameters.Batch(size: request.count, position: picture)
    }
    return parameters
  }
}

extension Tensor {
  /// Some entries of the first axis.
  func entries(_ range: Range<Int>) -> Tensor {
    if range == 0..<shape[0] { return self }
    let size = shape.rowLength
    return Tensor(
      shape: Shape([range.count] + shape.extents.dropFirst()),
      values: Array(values[range.lowerBound * size..<range.upperBound * size]))
  }

  /// Tensors of one shape after another along the first axis.
  init(stacking tensors: [Tensor]) {
    let extents = tensors[0].shape.extents
    self.init(
      shape: Shape([tensors.reduce(0) { $0 + $1.shape[0] }] + extents.dropFirst()),
      values: tensors.flatMap(\.values))
  }
}
