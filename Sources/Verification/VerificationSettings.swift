package import Sampling
package import Support

/// Prompts and sampler settings of a verification, the same for every model.
package struct VerificationSettings: Sendable, Equatable {
  package var prompts: [Prompt]
  /// Each prompt is run with each seed. Below 2^63.
  package var seeds: [UInt64]
  /// The number of images of each model, of the first prompts; `nil` is one for each prompt and seed.
  /// Where it is larger, further seeds are used.
  package var images: Int?
  package var steps: Int
  package var guidanceScale: Double
  /// A name of `Schedulers.all`; `nil` uses the reference's scheduler config. A report states the
  /// scheduler that ran.
  package var scheduler: String?
  /// diffusers' class of the scheduler that ran; `nil` before a run.
  package internal(set) var schedulerClass: String?
  /// The size of the images; `nil` is the reference's training size.
  package var size: ImageSize?
  /// Further sizes at which calls are compared, without images.
  package var otherSizes: [ImageSize]
  /// Number of steps of one run at which blocks are compared, spread from the first to the last. The
  /// outputs of all blocks at all of these steps are in memory at once. At least 1.
  package var blockSteps: Int

  package init(
    prompts: [Prompt], seeds: [UInt64] = [0], images: Int? = nil,
    steps: Int = SamplingRequest.standardRunSteps,
    guidanceScale: Double = SamplingRequest.standardGuidanceScale, scheduler: String? = nil,
    size: ImageSize? = nil, otherSizes: [ImageSize] = [], blockSteps: Int = 3
  ) {
    self.prompts = prompts
    self.seeds = seeds
    self.images = images
    self.steps = steps
    self.guidanceScale = guidanceScale
    self.scheduler = scheduler
    self.size = size
    self.otherSizes = otherSizes
    self.blockSteps = blockSteps
  }

  /// The distinct negative prompts, sorted.
  var negativePrompts: [String] { Set(prompts.map(\.negativePrompt)).sorted() }

  var json: JSONValue {
    [
      "prompts": .array(prompts.map { .string($0.prompt) }),
      "negative_prompts": .array(prompts.map { .string($0.negativePrompt) }),
      "seeds": .array(seeds.map { Int(exactly: $0).map { .integer($0) } ?? .string("\($0)") }),
      "steps": .integer(steps),
      "guidance_scale": .number(guidanceScale),
      "scheduler": (schedulerClass ?? scheduler).map { .string($0) } ?? .null,
      "scheduler_name": scheduler.map { .string($0) } ?? .null,
      "width": (size?.width).map { .integer($0) } ?? .null,
      "height": (size?.height).map { .integer($0) } ?? .null,
      "pictures": images.map { .integer($0) } ?? .null,
      "block_steps": .integer(blockSteps),
    ]
  }
}
