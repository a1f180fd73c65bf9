package import Sampling
import Support

/// How pictures are made for a comparison: the same for every model.
package struct VerificationSettings: Sendable, Equatable {
  package var prompts: [Prompt]
  /// One picture for each prompt and seed.
  package var seeds: [UInt64]
  package var steps: Int
  package var guidanceScale: Double
  /// A name of `Schedulers.all`; `nil` is the reference's own.
  package var scheduler: String?
  /// `nil` is the size that the reference was trained on.
  package var width: Int?
  package var height: Int?
  /// How many steps of each trajectory have their blocks compared, spread from the first to the
  /// last: the outputs of all blocks of a step are held in memory together.
  package var blockSteps: Int

  package init(
    prompts: [Prompt], seeds: [UInt64] = [0], steps: Int = 20,
    guidanceScale: Double = 7.5, scheduler: String? = nil, width: Int? = nil, height: Int? = nil,
    blockSteps: Int = 3
  ) {
    self.prompts = prompts
    self.seeds = seeds
    self.steps = steps
    self.guidanceScale = guidanceScale
    self.scheduler = scheduler
    self.width = width
    self.height = height
    self.blockSteps = blockSteps
  }

  /// The negative prompts, each once.
  var negativePrompts: [String] { Set(prompts.map(\.negativePrompt)).sorted() }

  var json: JSONValue {
    [
      "prompts": .array(prompts.map { .string($0.prompt) }),
      "negative_prompts": .array(prompts.map { .string($0.negativePrompt) }),
      "seeds": .array(seeds.map { Int(exactly: $0).map { .integer($0) } ?? .string("\($0)") }),
      "steps": .integer(steps),
      "guidance_scale": .number(guidanceScale),
      "scheduler": scheduler.map { .string($0) } ?? .null,
      "width": width.map { .integer($0) } ?? .null,
      "height": height.map { .integer($0) } ?? .null,
      "block_steps": .integer(blockSteps),
    ]
  }
}
