internal import ArgumentParser
internal import Workflow

/// `decant plan`. Predicts the error of quantized models by their size.
struct PlanCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Predicts the error of a quantized model by its size, before anything is written.",
    discussion: """
      The errors are those of the guided prediction, from what rounding each part of the U-Net does to \
      the recorded calls of the calibration. `decant quantize` takes the sizes as --target-size.

      Example: decant plan sd-v1-5/ --calibration sd-v1-5.calibration -o sizes.svg
      Example: decant plan sd15/ --calibration c --sizes 400MB,500MB --for comfyui
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @Option(
    help: ArgumentHelp(
      "The model's calibration, from `decant calibrate`.", valueName: "file"),
    completion: .file())
  var calibration: String

  @Option(
    help: ArgumentHelp(
      "Sizes of the whole output, such as 400MB,500MB (default: ten from the smallest to the largest).",
      valueName: "size,…"))
  var sizes: ByteSizesArgument?

  @Flag(
    help: """
      Plan also for models without some blocks of the U-Net, which shows where removing blocks beats \
      rounding. `decant shrink` takes --allow-strip too.
      """)
  var allowStrip = false

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp(
      "The program that will read the output: \(programNames.joined(separator: ", ")) (default: "
        + "Decant, in files with and without lossless coding).", valueName: "program"),
    completion: .list(programNames))
  var program: String?

  @Option(
    help: ArgumentHelp(
      "The layout to plan for: \(writerNames.joined(separator: ", ")) (default: the program's).",
      valueName: "layout"),
    completion: .list(writerNames))
  var to: String?

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp("Draw a chart to this file (default: no chart).", valueName: "file.svg"),
    completion: .file())
  var output: String?

  @Flag(help: "Replace an existing chart.")
  var force = false

  @OptionGroup var read: InputArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func job() -> PlanJob {
    PlanJob(
      model: model, reading: read.value, calibration: calibration, sizes: sizes?.bytes ?? [],
      layout: LayoutRequest(kind: to, program: program), allowsRemoval: allowStrip,
      chart: output.map { (path: $0, replacing: force) })
  }
}
