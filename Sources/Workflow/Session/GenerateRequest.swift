private import Checkpoints
private import ModelSources
package import Sampling
package import Support
private import Tensors

/// The user's settings of images to generate.
package struct GenerateRequest: Sendable {
  package var prompts: [String]
  package var negativePrompt: String?
  package var steps: Int
  package var guidanceScale: Double
  /// A scheduler's name; `nil` is the model's own.
  package var scheduler: String?
  package var seed: UInt64
  package var width: Int?
  package var height: Int?
  /// Images per prompt.
  package var count: Int
  /// A safetensors file with the initial noise as tensor `latents`.
  package var latentsPath: String?
  /// A PNG to start from, as in diffusers' image-to-image pipelines.
  package var initImagePath: String?
  /// A PNG that is white where the image is inpainted.
  package var maskPath: String?
  /// The strength of image-to-image, 0 to 1; `nil` is diffusers' default: 0.8, and 1 with a mask.
  package var strength: Double?
  /// An image to start from that is in memory. ``initImagePath`` takes precedence.
  package var initImage: Image?
  /// The mask of ``initImage``, white where it is inpainted.
  package var mask: Image?
  package var originalSize: ImageSize?
  package var targetSize: ImageSize?
  package var crop: Crop?

  /// The files that the job reads besides models.
  var inputs: [String] { [latentsPath, initImagePath, maskPath].compactMap { $0 } }

  package static let standard: GenerateRequest = {
    let request = SamplingRequest(prompt: "")
    return GenerateRequest(
      prompts: [], negativePrompt: request.negativePrompt, steps: request.steps,
      guidanceScale: request.guidanceScale, scheduler: nil, seed: request.seed, width: nil,
      height: nil, count: request.count, latentsPath: nil)
  }()

  /// Checks everything about the request that can be known without its files and without a model.
  ///
  /// - Throws: ``GenerateError``, ``SamplingError`` for a number of images that is not supported,
  ///   or ``SchedulerError`` for an unknown scheduler.
  func check() throws {
    if prompts.isEmpty { throw GenerateError.noPrompt }
    if initImagePath == nil, initImage == nil {
      if let maskPath { throw GenerateError.maskAlone(path: maskPath) }
      if let strength { throw GenerateError.strengthAlone(strength) }
    }
    if latentsPath != nil, prompts.count > 1 {
      throw GenerateError.latentsForPrompts(prompts.count)
    }
    try checkImageCount(count)
    if let scheduler { _ = try Schedulers.named(scheduler) }
  }

  /// A request of the sampler for each prompt. Reads the files of ``inputs``.
  var samplings: [SamplingRequest] {
    get throws {
      try check()
      let shared = try sampling
      return prompts.map { prompt in
        var request = shared
        request.prompt = prompt
        return request
      }
    }
  }

  /// The sampler's request without a prompt.
  private var sampling: SamplingRequest {
    get throws {
      var request = SamplingRequest(prompt: "")
      request.negativePrompt = negativePrompt
      request.steps = steps
      request.guidanceScale = guidanceScale
      request.scheduler = scheduler
      request.seed = seed
      request.width = width
      request.height = height
      request.count = count
      request.originalSize = originalSize
      request.targetSize = targetSize
      request.crop = crop
      request.initialImage = try initialImage
      request.latents = try latents
      return request
    }
  }

  private var initialImage: InitialImage? {
    get throws {
      guard let initImagePath else {
        return initImage.map { image in
          InitialImage(
            image: image,
            strength: strength ?? InitialImage.standardStrength(hasMask: mask != nil), mask: mask)
        }
      }
      func image(_ path: String) throws -> Image {
        try Image(png: ByteSlice.mapping(path).array, location: path)
      }
      return InitialImage(
        image: try image(initImagePath),
        strength: strength ?? InitialImage.standardStrength(hasMask: maskPath != nil),
        mask: try maskPath.map(image))
    }
  }

  private var latents: Tensor? {
    get throws {
      guard let latentsPath else { return nil }
      let file = try SafetensorsFile(path: latentsPath)
      guard file.entry("latents") != nil else {
        throw JobError(
          "\(latentsPath): expected a tensor 'latents' [B,4,H/8,W/8], found "
            + shortlist(file.names))
      }
      let latents = try file.tensor("latents")
      guard latents.encoding.isWidenable else {
        throw JobError(
          "\(latentsPath): tensor 'latents' is \(latents.encoding.name), expected numbers")
      }
      if latents.hasNonfinite {
        throw JobError("\(latentsPath): tensor 'latents' holds NaN or infinite numbers")
      }
      return latents.widened()
    }
  }
}
