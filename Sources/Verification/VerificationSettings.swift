package import Sampling
package import Support

/// Prompts and sampler settings of a verification, the same for every model.
package struct VerificationSettings: Sendable, Equatable {
  package var prompts: [Prompt]
  /// Each prompt is run with each seed.
  package var seeds: [UInt64]
  package var steps: Int
  package var guidanceScale: Double
  /// A name of `Schedulers.all`; `nil` uses the reference's scheduler config. A report states the
  /// scheduler that ran.
  package var scheduler: String?
  /// diffusers' class of the scheduler that ran; `nil` before a run.
  package internal(set) var schedulerClass: String?
  /// `nil` is the reference's training size.
  package var size: ImageSize?
  /// Number of steps of each trajectory at which blocks are compared, spread from the first to the
  /// last. The outputs of all blocks of a step are in memory at once.
  package var blockSteps: Int

  package init(
    prompts: [Prompt], seeds: [UInt64] = [0], steps: Int = SamplingRequest.standardRunSteps,
    guidanceScale: Double = SamplingRequest.standardGuidanceScale, scheduler: String? = nil,
    size: ImageSize? = nil,
    blockSteps: Int = 3
  ) {
    self.prompts = prompts
    self.seeds = seeds
    self.steps = steps
    self.guidanceScale = guidanceScale
    self.scheduler = scheduler
    self.size = size
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
      "block_steps": .integer(blockSteps),
    ]
  }
}
