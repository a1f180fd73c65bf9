private import Checkpoints
private import ModelSources
internal import Sampling
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
  package var originalSize: ImageSize?
  package var targetSize: ImageSize?
  package var crop: (x: Int, y: Int)?

  /// The files that the job reads besides models.
  var inputs: [String] { [latentsPath, initImagePath, maskPath].compactMap { $0 } }

  package static let standard: GenerateRequest = {
    let request = SamplingRequest(prompt: "")
    return GenerateRequest(
      prompts: [], negativePrompt: request.negativePrompt, steps: request.steps,
      guidanceScale: request.guidanceScale, scheduler: nil, seed: request.seed, width: nil,
      height: nil, count: request.count, latentsPath: nil)
  }()

  /// A request of the sampler for each prompt.
  var samplings: [SamplingRequest] {
    get throws { try prompts.map(sampling) }
  }

  /// The sampler's request for one of the prompts.
  private func sampling(_ prompt: String) throws -> SamplingRequest {
    var request = SamplingRequest(prompt: prompt)
    request.negativePrompt = negativePrompt
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.scheduler = scheduler
    request.seed = seed
    request.width = width
    request.height = height
    request.count = count
    request.originalSize = originalSize.map { ($0.width, $0.height) }
    request.targetSize = targetSize.map { ($0.width, $0.height) }
    if let crop { request.crop = (top: crop.y, left: crop.x) }
    if let initImagePath {
      func image(_ path: String) throws -> Image {
        try Image(png: ByteSlice.mapping(path).array, location: path)
      }
      request.initialImage = InitialImage(
        image: try image(initImagePath), strength: strength ?? (maskPath == nil ? 0.8 : 1),
        mask: try maskPath.map(image))
    }
    if let latentsPath {
      let file = try SafetensorsFile(path: latentsPath)
      guard file.entry("latents") != nil else {
        throw JobError(
          "\(latentsPath): expected a tensor 'latents' [B,4,H/8,W/8], found "
            + listed(file.names))
      }
      request.latents = try file.tensor("latents").widened()
    }
    return request
  }
}
