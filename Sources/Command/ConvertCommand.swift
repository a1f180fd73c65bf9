internal import ArgumentParser
internal import Workflow

/// `decant convert`. Writes a model in another layout or number type.
struct ConvertCommand: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Writes a model in another layout or number type.",
    discussion: """
      Without --type and --lora, weights keep their type, and every bit where the layout can hold \
      them.

      Example: decant convert sd-v1-5/ -o sd-v1-5.decant --type f16
      Example: decant convert model.safetensors -o model-folder/
      Example: decant convert sdxl/ -o new.safetensors --lora style.safetensors:0.8
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @OptionGroup var output: OutputArguments

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      """
      Number type of all weights: \(plainTypeNames.joined(separator: ", ")) (default: unchanged). \
      A VAE that overflows in f16, such as SDXL's, stays unchanged.
      """, valueName: "type"),
    completion: .list(plainTypeNames))
  var type: String?

  @OptionGroup var layout: LayoutArguments
  @OptionGroup var strict: StrictArguments
  @OptionGroup var read: InputArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if let type = type.map(typeName), schemeNames.contains(type), !plainTypeNames.contains(type) {
      throw ValidationError(
        "--type takes \(plainTypeNames.joined(separator: ", ")), not \(type); "
          + "for \(type) use 'decant quantize --type \(type)'.")
    }
  }

  func job() -> ConvertJob {
    return ConvertJob(
      model: model, reading: read.value, output: layout.request(output.output, strict),
      type: type)
  }
}
