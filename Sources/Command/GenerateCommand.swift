internal import ArgumentParser
internal import Support
internal import Workflow

struct GenerateCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Paints pictures with the reference sampler, on the processor.",
    discussion: """
      In f32 the same seed gives the picture that diffusers gives on the CPU.
      Example: decant generate small.decant -p "a red circle" -n "blurry" --seed 42 -o circle.png
      Example: decant generate sd-v1-5/ small.decant -p "a cat" -p "a house" --grid side-by-side.png
      Example: decant generate sd-v1-5/ -p "a castle" --init-image sketch.png --strength 0.7 -o castle.png
      Example: decant generate inpainting/ -p "a cat" --init-image room.png --mask sofa.png -o cat.png
      Example: decant generate sdxl-turbo/ -p "a cat" --steps 1 --guidance-scale 0 -o cat.png
      Example: decant generate sdxl/ -p "a cat" --original-size 4096x4096 --crop 0,0 -o cat.png
      Example: decant generate lcm/ -p "a cat" --scheduler lcm --steps 4 --guidance-scale 8 -o cat.png
      """)

  @Argument(help: ArgumentHelp("\(modelHelp.abstract) Several are compared with --grid."))
  var model: [String]

  @Option(
    name: [.short, .long], parsing: .unconditionalSingleValue,
    help: "What to paint; may be repeated.")
  var prompt: [String]

  @Option(
    name: [.customShort("n"), .customLong("negative-prompt")], parsing: .unconditional,
    help: """
      What to keep out of the picture; without it SDXL is given zeros, with \"\" an empty text.
      """)
  var negativePrompt: String?

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

  @Option(help: ArgumentHelp("Begin with this picture.", valueName: "file.png"))
  var initImage: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How far to go from --init-image: 0 to 1 (0.8, or 1 with --mask, unless given).",
      valueName: "s"))
  var strength: Double?

  @Option(
    help: ArgumentHelp(
      "Paint anew only what is white in this picture, of --init-image's size.",
      valueName: "file.png"))
  var mask: String?

  @Option(
    help: ArgumentHelp("SDXL: the size that the picture is told to have had.", valueName: "WxH"))
  var originalSize: ImageSize?

  @Option(
    help: ArgumentHelp("SDXL: where the picture is told to be cut.", valueName: "x,y"))
  var crop: PointArgument?

  @Option(
    help: ArgumentHelp("SDXL: the size that the picture is told to be cut to.", valueName: "WxH"))
  var targetSize: ImageSize?

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

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if model.isEmpty { throw ValidationError("Give a MODEL.") }
    try requirePositive([
      ("--steps", steps), ("--count", count), ("-W", width ?? 8), ("-H", height ?? 8),
    ])
    if output == nil, grid == nil, saveLatents == nil {
      throw ValidationError("Say where the picture goes: -o FILE.png or --grid FILE.png.")
    }
    if model.count > 1, output != nil || saveLatents != nil {
      // The words after an option that there is not count as models too: so they are named.
      throw ValidationError(
        "\(model.count) models, \(model.joined(separator: ", ")): of several only --grid FILE.png can be written."
      )
    }
    if mask != nil, initImage == nil {
      throw ValidationError("--mask goes with --init-image FILE.png.")
    }
    if strength != nil, initImage == nil {
      throw ValidationError("--strength goes with --init-image FILE.png.")
    }
    if let strength, !(strength > 0 && strength <= 1) {
      throw ValidationError("--strength takes more than 0, up to 1, not \(strength).")
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
    request.initImagePath = initImage
    request.maskPath = mask
    request.strength = strength
    request.originalSize = originalSize
    request.targetSize = targetSize
    request.crop = crop.map { ($0.x, $0.y) }
    return GenerateJob(
      models: model, reading: read.value, compute: compute.compute.value, request: request,
      output: output, grid: grid, latentsOutput: saveLatents, replacing: force)
  }
}
