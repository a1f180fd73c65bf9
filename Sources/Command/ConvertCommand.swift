internal import ArgumentParser
internal import Workflow

struct ConvertCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Writes a model in another layout or number type, every bit kept where it can be.",
    discussion: "Example: decant convert sd-v1-5/ -o sd-v1-5.decant --type f16")

  @Argument(help: modelHelp)
  var model: String

  @OptionGroup var output: OutputArguments

  @Option(
    help: ArgumentHelp(
      """
      Number type of all weights: f32, f16, bf16 (as they are unless told). SDXL's VAE overflows in \
      f16 and is left as it is.
      """, valueName: "type"))
  var type: String?

  @OptionGroup var read: InputArguments
  @OptionGroup var processors: ThreadArguments
  @OptionGroup var common: CommonArguments

  func job() -> ConvertJob {
    processors.apply()
    return ConvertJob(model: model, reading: read.value, output: output.value, type: type)
  }
}
