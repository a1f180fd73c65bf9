internal import ModelSources
package import Models
package import Support
import Tensors

// Checks and derived values of a request that need the model's configs alone.

extension Model {
  /// Checks a request without reading weights.
  ///
  /// - Throws: ``SamplingError`` or ``SchedulerError`` if the model cannot carry it out.
  package func check(_ request: SamplingRequest) throws {
    _ = try latentShape(for: request)
    let scheduler = try scheduler(for: request)
    // Guidance is computed in float32.
    guard Float(request.guidanceScale).isFinite else {
      throw SamplingError.guidanceScale(request.guidanceScale)
    }
    if let initialImage = request.initialImage {
      _ = try initialImage.firstStep(steps: request.steps, calls: scheduler.timesteps.count)
    }
    try checkSizeConditioning(request)
  }

  /// The size of the images in pixels.
  package func size(for request: SamplingRequest) -> ImageSize {
    let factor = vae.downsamplingFactor
    // The initial image sets the size, rounded down to multiples of the VAE's factor.
    let standard =
      request.initialImage.map { input in
        ImageSize(
          width: input.image.width / factor * factor,
          height: input.image.height / factor * factor)
      } ?? defaultSize
    return ImageSize(
      width: request.width ?? standard.width, height: request.height ?? standard.height)
  }

  /// The scheduler of a request, after diffusers' corrections to early scheduler configs.
  package func scheduler(for request: SamplingRequest) throws(SchedulerError) -> any Scheduler {
    try Schedulers.make(
      name: request.scheduler, config: schedulerConfig(for: request), steps: request.steps)
  }

  /// The kind of a request's scheduler.
  package func schedulerKind(
    for request: SamplingRequest
  ) throws(SchedulerError) -> SchedulerKind {
    if let name = request.scheduler { return try Schedulers.named(name) }
    return try Schedulers.described(by: schedulerConfig(for: request))
  }

  func schedulerConfig(for request: SamplingRequest) -> JSONObject {
    let architecture = family.architecture
    return Schedulers.corrected(
      request.schedulerConfig ?? scheduler ?? architecture.scheduler, name: request.scheduler,
      for: architecture)
  }

  func latentShape(for request: SamplingRequest) throws(SamplingError) -> Shape {
    let size = size(for: request)
    let factor = vae.downsamplingFactor
    for side in [size.width, size.height] {
      guard factor...SamplingError.sideLimit ~= side, side % factor == 0 else {
        throw .size(size, factor: factor)
      }
    }
    try checkImageCount(request.count)
    let shape: Shape = [
      request.count, vae.latentChannels, size.height / factor, size.width / factor,
    ]
    if let latents = request.latents, latents.shape != shape {
      throw .latents(found: latents.shape, expected: shape)
    }
    return shape
  }

  /// Throws if the request has size conditioning that the U-Net does not take.
  private func checkSizeConditioning(_ request: SamplingRequest) throws(SamplingError) {
    let kind = family.architecture.timeIDs
    let settings: [(setting: Setting, isChosen: Bool, isTaken: Bool)] = [
      (.originalSize, request.originalSize != nil, kind != nil),
      (.crop, request.crop != nil, kind != nil),
      (.targetSize, request.targetSize != nil, kind == .sizes),
    ]
    let ignored = settings.filter { $0.isChosen && !$0.isTaken }.map(\.setting)
    guard ignored.isEmpty else {
      throw .noSizeConditioning(
        location: source.location, family: family.title, settings: ignored)
    }
  }
}

/// Refuses a number of images that one request cannot have.
package func checkImageCount(_ count: Int) throws(SamplingError) {
  guard 1...SamplingError.countLimit ~= count else { throw .count(count) }
}

extension InitialImage {
  /// Index of the first step of a run that starts from the image.
  ///
  /// - Parameters:
  ///   - steps: inference steps of the request.
  ///   - calls: U-Net calls of the scheduler for that many steps.
  /// - Throws: ``SamplingError`` if no step remains.
  func firstStep(steps: Int, calls: Int) throws(SamplingError) -> Int {
    guard 0...1 ~= strength, strength > 0 else { throw .strength(strength) }
    let kept = min(Int(Double(steps) * strength), steps)
    let first = max(steps - kept, 0)
    guard kept > 0, first < calls else {
      throw .strengthWithoutStep(strength, steps: steps)
    }
    return first
  }
}
