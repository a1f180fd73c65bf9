internal import ArgumentParser
internal import Workflow

struct GenerateCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Paints pictures with the reference sampler, in float32 on the processor.",
    discussion: """
      The same seed gives the picture that diffusers gives on the CPU.
      Example: decant generate small.decant -p "a red circle" -n "blurry" --seed 42 -o circle.png
      Example: decant generate sd-v1-5/ small.decant -p "a cat" -p "a house" --grid side-by-side.png
      """)

  @Argument(help: ArgumentHelp("\(modelHelp.abstract) Several are compared with --grid."))
  var model: [String]

  @Option(
    name: [.short, .long], parsing: .unconditionalSingleValue,
    help: "What to paint; may be repeated.")
  var prompt: [String]

  @Option(
    name: [.customShort("n"), .customLong("negative-prompt")], parsing: .unconditional,
    help: "What to keep out of the picture.")
  var negativePrompt: String = ""

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Sampler steps.", valueName: "n"))
  var steps: Int = GenerateRequest.standard.steps

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How strongly the prompt guides; 1 turns guidance off.", valueName: "g"))
  var guidanceScale: Double = GenerateRequest.standard.guidanceScale

  @Option(
    help: ArgumentHelp(
      "\(schedulerNames.joined(separator: ", ")) (the model's own unless given).", valueName: "name"
    ))
  var scheduler: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Seed of the noise.", valueName: "s"))
  var seed: UInt64 = 0

  @Option(
    name: [.customShort("W"), .long],
    help: ArgumentHelp("Width in pixels (the model's own unless given).", valueName: "w"))
  var width: Int?

  @Option(
    name: [.customShort("H"), .long],
    help: ArgumentHelp("Height in pixels (the model's own unless given).", valueName: "h"))
  var height: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Pictures a prompt.", valueName: "n"))
  var count: Int = 1

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp(
      "Where the picture goes; several become NAME-1.png, NAME-2.png, ….", valueName: "file.png"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "One picture of all: a row a model, a column a prompt.", valueName: "file.png"))
  var grid: String?

  @Option(
    help: ArgumentHelp(
      "Initial noise: tensor 'latents' [B,4,H/8,W/8].", valueName: "in.safetensors"))
  var latents: String?

  @Option(
    help: ArgumentHelp("Write the latents after the last step.", valueName: "out.safetensors"))
  var saveLatents: String?

  @Flag(help: "Replace files that stand at the outputs' places.")
  var force = false

  @Flag(help: "Print the facts as JSON.")
  var json = false

  @OptionGroup var read: ReadOptions
  @OptionGroup var compute: ComputeOptions
  @OptionGroup var common: CommonOptions

  var printsJSON: Bool { json }

  func validate() throws {
    if model.isEmpty { throw ValidationError("Give a MODEL.") }
    for (name, value) in [
      ("--steps", steps), ("--count", count), ("-W", width ?? 8), ("-H", height ?? 8),
    ]
    where value < 1 {
      throw ValidationError("\(name) takes 1 or more, not \(value).")
    }
    if output == nil, grid == nil, saveLatents == nil {
      throw ValidationError("Say where the picture goes: -o FILE.png or --grid FILE.png.")
    }
    if model.count > 1, output != nil || saveLatents != nil {
      throw ValidationError("With several models only --grid FILE.png can be written.")
    }
    if saveLatents != nil || latents != nil, prompt.count > 1 {
      throw ValidationError("--latents and --save-latents go with one prompt.")
    }
  }

  func job() -> GenerateJob {
    compute.apply()
    var request = GenerateRequest.standard
    request.prompts = prompt
    request.negativePrompt = negativePrompt
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.scheduler = scheduler
    request.seed = seed
    request.width = width
    request.height = height
    request.count = count
    request.latentsPath = latents
    return GenerateJob(
      models: model, reading: read.value, request: request, output: output, grid: grid,
      latentsOutput: saveLatents, replacing: force)
  }
}
