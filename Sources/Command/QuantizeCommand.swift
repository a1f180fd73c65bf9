internal import ArgumentParser
internal import Workflow

struct QuantizeCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Writes the U-Net's convolutions and linear layers in fewer bits.",
    discussion: """
      Example: decant quantize sd-v1-5/ --type int8 --dry-run
      Example: decant quantize sd-v1-5/ -o int8.decant --type int8 --calibration sd-v1-5.calibration
      """)

  @Argument(help: modelHelp)
  var model: String

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp(
      "Where to write: NAME.decant, NAME.gguf, or NAME/ with --for sdnq; a dry run needs none.",
      valueName: "out"))
  var output: String?

  @OptionGroup var layout: LayoutArguments

  @OptionGroup var quantization: QuantizationArguments

  @Option(
    help: ArgumentHelp(
      "What the U-Net's type is: \(schemeNames.joined(separator: ", ")).", valueName: "type"))
  var type: String

  @Option(help: ArgumentHelp("A file that `decant calibrate` wrote.", valueName: "file"))
  var calibration: String?

  @Flag(help: "Print the plan and write nothing.")
  var dryRun = false

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if output == nil, !dryRun {
      throw ValidationError("Say where to write, -o OUT, or look at the plan with --dry-run.")
    }
    if compute.compute.value != .f32 {
      throw ValidationError(
        "--compute \(compute.compute): quantize runs no model, it rounds in f32.")
    }
  }

  func job() -> QuantizeJob {
    compute.apply()
    return QuantizeJob(
      model: model, reading: read.value,
      output: output.map(layout.request), isDryRun: dryRun,
      request: quantization.request(type: type), calibration: calibration)
  }
}

/// How weights are quantized, for `quantize` and `shrink`.
struct QuantizationArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How weights are rounded. "
        + roundingMethods.map { "\($0.name): \($0.summary)" }.joined(separator: "; ") + ".",
      valueName: "method"))
  var method: String = defaultRoundingMethod

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Modules to leave in --rest-type beside the standard ones, as 'up_blocks.3.*'.",
      valueName: "pattern"))
  var keep: [String] = []

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("Quantize only these modules.", valueName: "pattern"))
  var only: [String] = []

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "A type of their own for some modules, those left out by default too: 'conv_out=int8'.",
      valueName: "pattern=type"))
  var assign: [String] = []

  @Option(
    help: ArgumentHelp(
      "Type of all that is not quantized, text encoders and VAE too: f32, f16, bf16.",
      valueName: "type"))
  var restType: String = "f16"

  func request(type: String) -> QuantizationRequest {
    QuantizationRequest(
      type: type, method: method, keep: keep, only: only, assign: assign, restType: restType)
  }
}
