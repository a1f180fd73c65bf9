package import Support
package import Tensors

/// Prompt and settings of a generation: the arguments of diffusers' Stable Diffusion pipelines.
package struct SamplingRequest: Sendable {
  package var prompt: String
  /// Has no effect without guidance. `nil` is an empty text, or zeros for models with
  /// `force_zeros_for_empty_prompt`.
  package var negativePrompt: String?
  /// Inference steps. diffusers' pipelines default to 50 and web UIs to 20. Beyond 25, images of
  /// the multistep schedulers hardly change to the eye.
  package var steps = 25
  /// Weight of classifier-free guidance. At 1 and below there is no unconditional branch, which
  /// halves the time.
  package var guidanceScale = Self.standardGuidanceScale
  /// A ``SchedulerKind/name``; `nil` uses the model's scheduler config.
  package var scheduler: String?
  /// Replaces the model's scheduler config.
  package var schedulerConfig: JSONObject?
  package var seed: UInt64 = 0
  /// In pixels; `nil` is the training size, or the size of the initial image.
  package var width: Int?
  package var height: Int?
  /// Number of images: diffusers' `num_images_per_prompt` with one generator. The noise of all
  /// images is drawn at once, and so is the noise of each ancestral step.
  package var count = 1
  /// Initial noise that replaces the seed's, [count, channels, height / 8, width / 8], before it is
  /// multiplied by the scheduler's initial sigma. The noise of ancestral steps still comes from the
  /// seed.
  package var latents: Tensor?
  /// The image to start from, for image-to-image and inpainting.
  package var initialImage: InitialImage?
  /// SDXL's `original_size` and `target_size`, used as conditioning; `nil` is the image's size.
  package var originalSize: ImageSize?
  package var targetSize: ImageSize?
  /// SDXL's `crops_coords_top_left`, used as conditioning; `nil` is (0, 0).
  package var crop: Crop?
  /// Conditioning of SDXL's refiner: `aesthetic_score` and `negative_aesthetic_score`.
  package var aestheticScore = 6.0
  package var negativeAestheticScore = 2.5

  package init(prompt: String) { self.prompt = prompt }

  /// The guidance scale of diffusers' Stable Diffusion pipelines by default.
  package static let standardGuidanceScale = 7.5
  /// The steps of each image of a calibration or verification by default.
  package static let standardRunSteps = 20

  /// Sets width and height; `nil` is the training size.
  package mutating func setSize(_ size: ImageSize?) {
    (width, height) = (size?.width, size?.height)
  }
}

/// Why a model cannot carry out a request.
package enum SamplingError: RemediableError, Equatable {
  /// A side is not a multiple of the VAE's factor, or out of bounds.
  case size(ImageSize, factor: Int)
  /// The request's initial noise has another shape than its latents.
  case latents(found: Shape, expected: Shape)
  /// The number of images is out of bounds.
  case count(Int)
  /// The guidance scale is not finite in float32.
  case guidanceScale(Double)
  /// The strength is out of bounds.
  case strength(Double)
  /// The strength leaves no step of so few.
  case strengthWithoutStep(Double, steps: Int)
  /// The tokenizer's sequences are longer than the text encoder's.
  case textLength(location: String, tokenizer: Int, encoder: Int)
  /// The tokenizer has a token ID outside the text encoder's embedding table.
  case vocabulary(location: String, component: String, token: Int, count: Int)
  /// The VAE does not decode to RGB.
  case notTextToImage(location: String, found: String)
  /// The request has size conditioning that the U-Net does not take.
  case noSizeConditioning(location: String, family: String, settings: [Setting])

  /// The longest side of an image in pixels.
  package static let sideLimit = 8192
  /// The most images of one request.
  package static let countLimit = 1024

  package var description: String {
    switch self {
    case .size(let size, let factor):
      "an image size of \(size) is not supported; expected multiples of \(factor) "
        + "from \(factor) to \(Self.sideLimit)"
    case .latents(let found, let expected):
      "the latents are \(found), expected \(expected) for this size and count"
    case .count(let count):
      "\(counted(count, "image")) at once are not supported; expected 1 to \(Self.countLimit)"
    case .guidanceScale(let scale): "the guidance scale is \(scale), expected a finite number"
    case .strength(let strength):
      "the strength is \(strength), expected more than 0, up to 1"
    case .strengthWithoutStep(let strength, let steps):
      "a strength of \(strength) leaves none of \(counted(steps, "step")); expected at least "
        + "1 / strength steps"
    case .textLength(let location, let tokenizer, let encoder):
      "\(location): the tokenizer makes sequences of \(tokenizer) tokens, "
        + "but the text encoder has \(encoder) positions"
    case .vocabulary(let location, let component, let token, let count):
      "\(location): the tokenizer has token ID \(token), but '\(component)' has only \(count) "
        + "embeddings; tokenizer and text encoder do not belong together"
    case .notTextToImage(let location, let found):
      "\(location): cannot generate images: \(found)"
    case .noSizeConditioning(let location, let family, let settings):
      "\(location) is \(family), which has no conditioning on "
        + listed(settings.map(Self.words))
    }
  }

  package var remedy: Remedy? {
    guard case .noSizeConditioning(_, _, let settings) = self else { return nil }
    return settings.first.map { .leaveOut($0, and: Array(settings.dropFirst())) }
  }

  private static func words(_ setting: Setting) -> String {
    switch setting {
    case .originalSize: "original size"
    case .targetSize: "target size"
    default: setting.rawValue
    }
  }
}
