package import Support
package import Tensors

/// What to make a picture of, and how: the arguments of diffusers' `StableDiffusionPipeline`.
package struct SamplingRequest: Sendable {
  package var prompt: String
  /// What the picture shall not be; without guidance it has no effect. `nil` is an empty text, or
  /// zeros in its place for models that want them (`force_zeros_for_empty_prompt`).
  package var negativePrompt: String?
  /// Inference steps. diffusers' pipelines take 50 where nothing is said, and web UIs 20; 25 is
  /// where pictures of the multistep schedulers stop changing to the eye.
  package var steps = 25
  /// How far to go from the prediction without the text through the one with it. At 1 and below the
  /// U-Net is not asked without the text, which halves the time.
  package var guidanceScale = 7.5
  /// ``SchedulerKind/name``; `nil` is the model's own.
  package var scheduler: String?
  /// Instead of the scheduler config that the model came with.
  package var schedulerConfig: JSONObject?
  package var seed: UInt64 = 0
  /// Pixels; `nil` is what the model was trained on.
  package var width: Int?
  package var height: Int?
  /// Pictures of the prompt: diffusers' `num_images_per_prompt` with one generator. The noise of all
  /// is drawn at once, and so is that of each ancestral step.
  package var count = 1
  /// Initial noise instead of the seed's: [count, channels, height / 8, width / 8], before it is
  /// multiplied with the scheduler's initial sigma. The seed still gives the noise of ancestral
  /// steps.
  package var latents: Tensor?
  /// A picture to begin with.
  package var image: ImageInput?
  /// What SDXL is told of the picture that it would have been trained on; `nil` is the size that is
  /// made, whole.
  package var originalSize: (width: Int, height: Int)?
  package var targetSize: (width: Int, height: Int)?
  /// `nil` is the corner.
  package var crop: (top: Int, left: Int)?
  /// What SDXL's refiner is told of how good the picture is, and how bad the negative one.
  package var aestheticScore = 6.0
  package var negativeAestheticScore = 2.5

  package init(prompt: String) { self.prompt = prompt }
}

/// Why a request cannot be carried out with a model.
package enum SamplingError: Error, Equatable, CustomStringConvertible {
  /// A side is no multiple of the autoencoder's factor, or out of bounds.
  case size(width: Int, height: Int, factor: Int)
  case latents(found: Shape, expected: Shape)
  case count(Int)
  case guidanceScale(Double)
  case strength(Double)
  /// The tokenizer's texts are longer than the text encoder's.
  case textLength(location: String, tokenizer: Int, encoder: Int)
  /// The tokenizer makes numbers that the text encoder's table does not have.
  case vocabulary(location: String, component: String, token: Int, count: Int)
  /// The model needs more inputs than noise and text.
  case notTextToImage(location: String, found: String)
  /// Options that say what this model is not told.
  case untold(location: String, family: String, options: [String])

  /// Longest side that is sampled, in pixels.
  package static let sideLimit = 8192
  /// Most pictures of one request.
  package static let countLimit = 1024

  package var description: String {
    switch self {
    case .size(let width, let height, let factor):
      "a size of \(width)x\(height) cannot be sampled; choose multiples of \(factor) "
        + "from \(factor) to \(Self.sideLimit)"
    case .latents(let found, let expected):
      "the latents are \(found), expected \(expected) for this size and count"
    case .count(let count):
      "\(count) pictures cannot be made at once; choose 1 to \(Self.countLimit)"
    case .guidanceScale(let scale): "the guidance scale is \(scale), expected a finite number"
    case .strength(let strength):
      "a strength of \(strength) takes no step from the picture; choose more than 0, up to 1, and "
        + "enough steps"
    case .textLength(let location, let tokenizer, let encoder):
      "\(location): the tokenizer makes texts of \(tokenizer) tokens, "
        + "but the text encoder has \(encoder) positions"
    case .vocabulary(let location, let component, let token, let count):
      "\(location): the tokenizer makes token \(token), but '\(component)' knows \(count) tokens; "
        + "they do not belong together"
    case .notTextToImage(let location, let found):
      "\(location): cannot make pictures from text alone: \(found)"
    case .untold(let location, let family, let options):
      "\(listed(options)): \(location) is \(family), whose U-Net is told nothing of that; leave the "
        + "option out"
    }
  }
}
