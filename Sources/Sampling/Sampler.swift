package import Execution
package import Kernels
internal import ModelSources
package import Models
package import Support
package import Tensors

/// Generates images on the CPU as diffusers' Stable Diffusion pipelines do: text to image, image to
/// image and inpainting.
///
/// Computes in float32 unless another arithmetic is chosen. Weights stay in memory as they are
/// stored and are widened when they are used. Results do not depend on the number of threads.
package struct Sampler: Sendable {
  package let model: Model
  /// Most latent pixels per U-Net call, summed over images, which bounds memory.
  package var latentPixelsPerCall = Self.standardPixelsPerCall
  /// 16,384 latent pixels: four images of 512 x 512 pixels.
  package static let standardPixelsPerCall = 4 * 64 * 64

  let prompts: PromptEncoder
  private let arithmetic: Arithmetic
  private let unet: UNet
  private let decoder: VAEDecoder

  /// - Parameter arithmetic: arithmetic of the U-Net and of the VAE.
  /// - Throws: ``TokenizerError``, ``SamplingError``, or an error of the weights.
  package init(_ model: Model, arithmetic: Arithmetic = .f32) throws {
    let location = model.source.location
    guard model.vae.outChannels == 3 else {
      throw SamplingError.notTextToImage(
        location: location,
        found: "the VAE decodes to \(model.vae.outChannels) channels, expected 3")
    }
    self.model = model
    prompts = try PromptEncoder(model)
    self.arithmetic = arithmetic
    unet = try UNet(model, arithmetic: arithmetic)
    decoder = try VAEDecoder(model, arithmetic: arithmetic)
  }

  /// The same text encoders and VAE with the U-Net of another model.
  package init(_ other: Sampler, unetOf model: Model) throws {
    self.model = other.model
    prompts = other.prompts
    arithmetic = other.arithmetic
    decoder = other.decoder
    unet = try UNet(model, arithmetic: arithmetic)
  }

  // MARK: - Whole runs

  /// Generates the latents and the images of a request.
  ///
  /// - Parameters:
  ///   - observer: receives the U-Net calls and the steps.
  ///   - progress: called after each U-Net call and each decoded image.
  /// - Throws: ``SamplingError``, ``SchedulerError``, `CancellationError`, or an error of the
  ///   weights.
  package func generate(
    _ request: SamplingRequest, observer: (any SamplingObserver)? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> (latents: Tensor, images: [Image]) {
    var steps = 0
    let latents = try denoise(request, observer: observer) { done, total in
      steps = total
      progress(done, total + request.count)
    }
    let images = try decode(latents) { done, total in progress(steps + done, steps + total) }
    return (latents, images)
  }

  /// Generates the latents of a request, [count, channels, height / 8, width / 8], without decoding
  /// them.
  ///
  /// - Parameter conditioning: the request's conditioning, if already computed; `nil` computes it.
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
    let initial = try initialState(
      request, shape: shape, scheduler: scheduler, generator: &generator)
    conditioning.extraChannels = initial.extraChannels ?? conditioning.extraChannels
    scheduler.begin(at: initial.firstStep)
    var latents = initial.latents
    let total = scheduler.timesteps.count - initial.firstStep
    for (index, timestep) in scheduler.timesteps.enumerated().dropFirst(initial.firstStep) {
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
      let after = initial.restoringUnmasked(stepped, after: index, of: scheduler)
      observer?.didStep(
        SamplingStep(
          index: index, timestep: timestep, before: latents, modelInput: input,
          prediction: prediction, after: after, scheduler: earlier, noise: noise))
      latents = after
      progress(index + 1 - initial.firstStep, total)
    }
    return latents
  }

  // MARK: - Parts of a run

  /// Encodes a text as the U-Net takes it.
  package func embed(
    _ text: String, observer: (any ActivationObserver)? = nil
  ) throws -> EncodedPrompt { try prompts.encode(text, observer: observer) }

  /// The VAE's encoder, made on demand because most requests have no initial image.
  func encoder() throws -> VAEEncoder { try VAEEncoder(model, arithmetic: arithmetic) }

  /// The scheduler of a request, after diffusers' corrections to early scheduler configs.
  package func scheduler(for request: SamplingRequest) throws(SchedulerError) -> any Scheduler {
    try model.scheduler(for: request)
  }

  /// Runs the U-Net and applies classifier-free guidance if the conditioning has it.
  ///
  /// One call takes all images of the batch, the unconditional half first, as in diffusers. Batches
  /// above ``latentPixelsPerCall`` are split into more calls.
  ///
  /// - Parameters:
  ///   - modelInput: latents scaled by the scheduler, [count, channels, h, w].
  ///   - step: index of the step, passed to the observer.
  ///   - state: a state of an earlier call with the same inputs, to continue from. For one image.
  ///   - recording: called with the U-Net's state before each stage. For one image.
  /// - Throws: `CancellationError`, or an error of the U-Net's inputs.
  package func predict(
    _ modelInput: Tensor, timestep: Float, conditioning: Conditioning, step: Int = 0,
    from state: UNetState? = nil, recording: ((UNetState) throws -> Void)? = nil,
    observer: (any SamplingObserver)? = nil
  ) throws -> NoisePrediction {
    let count = modelInput.shape[0]
    let area = modelInput.shape[2] * modelInput.shape[3]
    let perCall = max(1, latentPixelsPerCall / max(1, area))
    var unconditional: [Float] = []
    var conditional: [Float] = []
    for start in stride(from: 0, to: count, by: perCall) {
      try Cancellation.check()
      let images = start..<min(start + perCall, count)
      var sample = modelInput.entries(images)
      if let extra = conditioning.extraChannels {
        sample = Tensor(joiningChannels: [sample, extra.repeated(images.count)])
      }
      let call = UNetCall(
        step: step, timestep: timestep,
        branches: conditioning.unconditional == nil
          ? [.conditional] : [.unconditional, .conditional],
        images: images)
      let branches = [conditioning.unconditional, conditioning.conditional].compactMap { $0 }
      func stacked(_ part: (Conditioning.Inputs) -> Tensor) -> Tensor {
        Tensor(stacking: branches.flatMap { branch in images.map { _ in part(branch) } })
      }
      var added: UNet.AddedConditioning?
      if let own = conditioning.conditional.added {
        added = UNet.AddedConditioning(
          textEmbeds: stacked { $0.added?.pooled ?? own.pooled },
          timeIDs: stacked { $0.added?.timeIDs ?? own.timeIDs })
      }
      let output = try interruptible {
        try unet(
          sample: Tensor(stacking: branches.map { _ in sample }), timesteps: [timestep],
          encoderHiddenStates: stacked(\.states),
          timestepCondition: conditioning.guidanceEmbedding?.repeated(
            images.count * branches.count),
          added: added, from: state, recording: recording,
          observer: observer?.activationObserver(for: call))
      }
      if branches.count == 2 {
        unconditional += output.entries(0..<images.count).values
        conditional += output.entries(images.count..<2 * images.count).values
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

  /// Decodes latents [B, C, h, w] to images, one at a time.
  ///
  /// - Parameter progress: called after each image.
  /// - Throws: `CancellationError`, or an error of the decoder's input.
  package func decode(
    _ latents: Tensor, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> [Image] {
    let count = latents.shape[0]
    return try (0..<count).map { index in
      let decoded = try decodedTensor(latents.entries(index..<index + 1))
      progress(index + 1, count)
      return Image.images(decoded: decoded)[0]
    }
  }

  /// The VAE decoder's output for latents of ``denoise(_:conditioning:observer:progress:)``:
  /// [B, 3, H, W], -1 to 1.
  package func decodedTensor(_ latents: Tensor) throws -> Tensor {
    try Cancellation.check()
    // The decoder's activations are far larger than the U-Net's and cannot reuse their memory.
    trimHeap()
    let factor = Float(model.vae.scalingFactor)
    let scaled = Tensor(shape: latents.shape, values: latents.values.map { $0 / factor })
    return try interruptible { try decoder.decode(scaled) }
  }

  // MARK: - Facts of a request

  /// The size of the images in pixels.
  package func size(for request: SamplingRequest) -> ImageSize {
    model.size(for: request)
  }

  /// The generation parameters to store in an image of the request.
  ///
  /// - Parameters:
  ///   - image: index of the image in the request, from 0.
  ///   - name: name of the model.
  package func parameters(
    for request: SamplingRequest, image: Int, modelName name: String
  ) throws(SchedulerError) -> GenerationParameters {
    let kind = try model.schedulerKind(for: request)
    let size = size(for: request)
    var parameters = GenerationParameters(
      prompt: request.prompt, negativePrompt: request.negativePrompt ?? "", steps: request.steps,
      sampler: kind.title, guidanceScale: request.guidanceScale, seed: request.seed,
      width: size.width,
      height: size.height, model: name)
    parameters.adapters = model.source.mergedAdapters.map { adapter in
      GenerationParameters.Adapter(
        name: PathParts(adapter.file).stemAndExtension.stem, scale: adapter.scale)
    }
    parameters.denoisingStrength = request.initialImage?.strength
    parameters.isMasked = request.initialImage?.mask != nil
    if request.count > 1 {
      parameters.batch = GenerationParameters.Batch(size: request.count, position: image)
    }
    return parameters
  }
}

extension Tensor {
  /// A range of the first axis.
  package func entries(_ range: Range<Int>) -> Tensor {
    if range == 0..<shape[0] { return self }
    let size = shape.rowLength
    return Tensor(
      shape: Shape([range.count] + shape.extents.dropFirst()),
      values: Array(values[range.lowerBound * size..<range.upperBound * size]))
  }

  /// Concatenates tensors along the first axis.
  ///
  /// - Precondition: they have the same shape but for the first axis.
  init(stacking tensors: [Tensor]) {
    let extents = tensors[0].shape.extents
    self.init(
      shape: Shape([tensors.reduce(0) { $0 + $1.shape[0] }] + extents.dropFirst()),
      values: tensors.flatMap(\.values))
  }
}
