internal import ModelSources
package import Models
import Support
import Tensors

/// What a request comes to with a model, by its configs alone.
extension Model {
  /// Refuses a request that could not be carried out, before any weight is read.
  ///
  /// - Throws: ``SamplingError`` or ``SchedulerError``.
  package func check(_ request: SamplingRequest) throws {
    _ = try latentShape(for: request)
    let scheduler = try scheduler(for: request)
    // It is multiplied with in float32.
    guard Float(request.guidanceScale).isFinite else {
      throw SamplingError.guidanceScale(request.guidanceScale)
    }
    if let image = request.image {
      _ = try image.firstStep(steps: request.steps, calls: scheduler.timesteps.count)
    }
    try checkSizes(request)
  }

  /// Width and height in pixels.
  package func size(for request: SamplingRequest) -> (width: Int, height: Int) {
    let factor = vae.downsamplingFactor
    // A picture to begin with sets the size, cut to what the autoencoder can make.
    let own =
      request.image.map { input in
        (
          width: input.picture.width / factor * factor,
          height: input.picture.height / factor * factor
        )
      } ?? (width: defaultSize.width, height: defaultSize.height)
    return (request.width ?? own.width, request.height ?? own.height)
  }

  /// The scheduler of a request, with the corrections that diffusers' pipeline makes to configs.
  package func scheduler(for request: SamplingRequest) throws(SchedulerError) -> any Scheduler {
    try Schedulers.make(
      name: request.scheduler, config: schedulerConfig(for: request), steps: request.steps)
  }

  func schedulerConfig(for request: SamplingRequest) -> JSONObject {
    let architecture = family.architecture
    return Schedulers.corrected(
      request.schedulerConfig ?? scheduler ?? architecture.scheduler, name: request.scheduler,
      for: architecture)
  }

  func latentShape(for request: SamplingRequest) throws(SamplingError) -> Shape {
    let (width, height) = size(for: request)
    let factor = vae.downsamplingFactor
    for side in [width, height] {
      guard factor...SamplingError.sideLimit ~= side, side % factor == 0 else {
        throw .size(width: width, height: height, factor: factor)
      }
    }
    guard 1...SamplingError.countLimit ~= request.count else { throw .count(request.count) }
    let shape: Shape = [request.count, vae.latentChannels, height / factor, width / factor]
    if let latents = request.latents, latents.shape != shape {
      throw .latents(found: latents.shape, expected: shape)
    }
    return shape
  }

  /// Refuses sizes that the U-Net is not told of: nothing would come of them.
  private func checkSizes(_ request: SamplingRequest) throws(SamplingError) {
    let asked = [
      ("--original-size", request.originalSize != nil, family.architecture.timeIDs != nil),
      ("--crop", request.crop != nil, family.architecture.timeIDs != nil),
      ("--target-size", request.targetSize != nil, family.architecture.timeIDs == .sizes),
    ]
    let idle = asked.filter { $0.1 && !$0.2 }.map(\.0)
    guard idle.isEmpty else {
      throw .untold(location: source.location, family: family.title, options: idle)
    }
  }
}

extension ImageInput {
  /// The first step that is taken of so many, in so many calls of the U-Net.
  ///
  /// - Throws: ``SamplingError`` where none would be.
  func firstStep(steps: Int, calls: Int) throws(SamplingError) -> Int {
    guard 0...1 ~= strength else { throw .strength(strength) }
    let kept = min(Int(Double(steps) * strength), steps)
    let first = max(steps - kept, 0)
    guard kept > 0, first < calls else { throw .strength(strength) }
    return first
  }
}
