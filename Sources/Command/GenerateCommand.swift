internal import ArgumentParser
internal import Support
internal import Workflow

/// `decant generate`. Generates images.
struct GenerateCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Generates images with the reference sampler, on the processor.",
    discussion: """
      With --compute f32, the same seed and settings give the image that diffusers makes on the CPU.

      Example: decant generate small.decant -p "a cat" -n "blurry" --seed 42 -o a.png
      Example: decant generate sd-v1-5/ a.decant -p "a cat" -p "a dog" --grid a.png
      Example: decant generate sd-v1-5/ -p "a castle" --init-image sketch.png \\
        --strength 0.7 -o castle.png
      Example: decant generate inpainting/ -p "a cat" --init-image photo.png \\
        --mask sofa.png -o cat.png
      Example: decant generate turbo/ -p "a cat" --steps 1 --cfg-scale 0 -o cat.png
      Example: decant generate sdxl/ -p "a cat" --original-size 4096x4096 -o cat.png
      Example: decant generate lcm/ -p "a cat" --scheduler lcm --steps 4 -o cat.png
      """)

  @Argument(
    help: ArgumentHelp("A \(modelDescription) With more than one, use --grid."),
    completion: .file())
  var model: [String]

  @Option(
    name: [.short, .long], parsing: .unconditionalSingleValue,
    help: "What the image shows. Can be repeated.")
  var prompt: [String]

  @Option(
    name: [.customShort("n"), .customLong("negative-prompt")], parsing: .unconditional,
    help: """
      What the image must not show (default: an empty text, or a zero embedding where the model's \
      config asks for it, as SDXL's does; "" is always an empty text).
      """)
  var negativePrompt: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Sampling steps.", valueName: "n"))
  var steps: Int = GenerateRequest.standard.steps

  @Option(
    name: guidanceScaleNames, parsing: .unconditional,
    help: ArgumentHelp("Classifier-free guidance scale; 1 turns guidance off.", valueName: "g"))
  var guidanceScale: Double = GenerateRequest.standard.guidanceScale

  @Option(
    name: schedulerOptionNames, help: schedulerHelp(default: "the model's own"),
    completion: .list(schedulerNames))
  var scheduler: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Seed of the initial noise; -1 picks a random one.", valueName: "s"))
  var seed = SeedArgument(0)

  @Option(
    help: ArgumentHelp(
      "Image width and height in pixels (default: the model's own).", valueName: "WxH"))
  var size: ImageSize?

  @Option(
    name: [.customShort("W"), .long], parsing: .unconditional,
    help: ArgumentHelp("Image width in pixels (default: the model's own).", valueName: "w"))
  var width: Int?

  @Option(
    name: [.customShort("H"), .long], parsing: .unconditional,
    help: ArgumentHelp("Image height in pixels (default: the model's own).", valueName: "h"))
  var height: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Images per prompt.", valueName: "n"))
  var count: Int = 1

  @Option(
    help: ArgumentHelp("Start from this image (img2img).", valueName: "file.png"),
    completion: .file(extensions: ["png"]))
  var initImage: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How much to change --init-image: more than 0, up to 1 (default: 0.8; with --mask, 1).",
      valueName: "x"))
  var strength: Double?

  @Option(
    help: ArgumentHelp(
      "Repaint only the white part of this image, which has the size of --init-image (inpainting).",
      valueName: "file.png"),
    completion: .file(extensions: ["png"]))
  var mask: String?

  @Option(
    help: ArgumentHelp(
      "SDXL: original size used as conditioning (default: the image's size).", valueName: "WxH"))
  var originalSize: ImageSize?

  @Option(
    help: ArgumentHelp(
      "SDXL: crop coordinates (left, top) used as conditioning, in pixels (default: 0,0).",
      valueName: "x,y"))
  var crop: PointArgument?

  @Option(
    help: ArgumentHelp(
      "SDXL: target size used as conditioning (default: the image's size).", valueName: "WxH"))
  var targetSize: ImageSize?

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp(
      "The PNG file to write. Several images become NAME-1.png, NAME-2.png, ….",
      valueName: "file.png"),
    completion: .file(extensions: ["png"]))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Write all images into one PNG file: one row per model, one column per image.",
      valueName: "file.png"),
    completion: .file(extensions: ["png"]))
  var grid: String?

  @Option(
    help: ArgumentHelp(
      "Initial noise instead of the seed's: tensor 'latents' [B,4,H/8,W/8], before the scheduler "
        + "scales it.",
      valueName: "in.safetensors"),
    completion: .file(extensions: ["safetensors"]))
  var latents: String?

  @Option(
    help: ArgumentHelp(
      "Write the latents after the last step, before the VAE.", valueName: "out.safetensors"),
    completion: .file(extensions: ["safetensors"]))
  var saveLatents: String?

  @Flag(help: "Replace existing outputs.")
  var force = false

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if size != nil, width != nil || height != nil {
      throw ValidationError("Give either --size WxH or -W and -H, not both.")
    }
    try requirePositive([
      ("--steps", steps), ("--count", count), ("-W", width ?? 8), ("-H", height ?? 8),
    ])
  }

  var threads: ThreadArguments { compute.threads }

  func job() -> GenerateJob {
    var request = GenerateRequest.standard
    request.prompts = prompt
    request.negativePrompt = negativePrompt
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.scheduler = scheduler
    request.seed = seed.value
    request.width = size?.width ?? width
    request.height = size?.height ?? height
    request.count = count
    request.latentsPath = latents
    request.initImagePath = initImage
    request.maskPath = mask
    request.strength = strength
    request.originalSize = originalSize
    request.targetSize = targetSize
    request.crop = crop.map { Crop(top: $0.y, left: $0.x) }
    return GenerateJob(
      models: model, reading: read.value, compute: compute.compute.value, request: request,
      output: output, grid: grid, latentsOutput: saveLatents, replacing: force)
  }

  func text(after outcome: GeneratedImages) -> String { seed.fact }
}
