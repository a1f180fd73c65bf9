internal import ArgumentParser
internal import Workflow

/// `decant extract`. Writes one component of a model.
struct ExtractCommand: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "extract",
    abstract:
      "Writes one component of a model as a safetensors file, for programs that load it alone.",
    discussion: """
      Names are those that ComfyUI loads ("Load CLIP", "Load VAE", "Load Diffusion Model"):
        clip-l        the text encoder of SD 1, the first one of SDXL
        clip-g        the second text encoder of SDXL, the only one of its refiner
        text-encoder  the only or first text encoder, such as SD 2's
        vae, unet     in the names of single-file checkpoints, without prefix
      Without --type and --lora, weights keep every bit. With --for comfyui, the U-Net's linear layers \
      may be quantized, by --type or as they are stored.

      Example: decant extract sdxl/ --component clip-g -o clip_g.safetensors
      Example: decant extract sdxl/ --component unet -o unet.safetensors \\
        --type int8 --for comfyui
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @Option(
    help: ArgumentHelp(
      "The component: \(ModelPart.names.joined(separator: ", ")).", valueName: "name"),
    completion: .list(ModelPart.names))
  var component: String

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp("The file to write.", valueName: "out.safetensors"),
    completion: .file(extensions: ["safetensors"]))
  var output: String

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      """
      Number type of all weights: \(plainTypeNames.joined(separator: ", ")) (default: unchanged). A \
      VAE that overflows in f16, such as SDXL's, stays unchanged. With --for comfyui, also a type of \
      the U-Net's linear layers, with the other weights in \(defaultRestType): \
      \(componentTypeNames.joined(separator: ", ")).
      """, valueName: "type"),
    completion: .list(plainTypeNames + componentTypeNames))
  var type: String?

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp(
      "The program that will read the output: \(componentProgramNames.joined(separator: ", ")) "
        + "(default: any that loads single components).", valueName: "program"),
    completion: .list(componentProgramNames))
  var program: String?

  @Flag(help: "Replace an existing output.")
  var force = false

  @OptionGroup var read: InputArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func validate() throws { _ = try part() }

  private func part() throws -> ModelPart {
    guard let part = ModelPart.named(component) else {
      throw ValidationError(
        "--component takes \(ModelPart.names.joined(separator: ", ")), not '\(component)'.")
    }
    return part
  }

  func job() throws -> ExtractJob {
    ExtractJob(
      model: model, reading: read.value, part: try part(), output: output, program: program,
      replacing: force, type: type)
  }
}
