internal import ArgumentParser
internal import Workflow

struct ShrinkCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "shrink",
    abstract: "Strips, calibrates, quantizes, writes and verifies in one go.",
    discussion: """
      Example: decant shrink sd-v1-5/ -o small.decant --recipe bk-sdm-small --type int8 --report report/
      """)

  @Argument(help: modelHelp)
  var model: String

  @OptionGroup var output: OutputArguments

  @OptionGroup var cut: StripArguments

  @Option(
    help: ArgumentHelp(
      "What the U-Net's type is: \(schemeNames.joined(separator: ", ")).", valueName: "type"))
  var type: String = "int8"

  @OptionGroup var quantization: QuantizationArguments

  @Option(
    help: ArgumentHelp(
      "A file that `decant calibrate` wrote; else a short run is made.", valueName: "file"))
  var calibration: String?

  @OptionGroup var calibrating: RunArguments
  @OptionGroup var thresholds: ThresholdArguments

  @Option(help: ArgumentHelp("Where the report goes (none unless given).", valueName: "dir"))
  var report: String?

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func job() -> ShrinkJob {
    compute.apply()
    var verification = VerificationRequest.standard
    thresholds.apply(to: &verification)
    verification.compute = compute.compute.value
    var run = CalibrationRequest.standard
    calibrating.apply(to: &run)
    run.compute = compute.compute.value
    // A short run: a long one is `decant calibrate`, whose file --calibration takes.
    run.promptLimit = run.promptLimit ?? 4
    return ShrinkJob(
      model: model, reading: read.value, output: output.value,
      cut: cut.value,
      quantization: quantization.request(type: type), calibration: calibration,
      calibrating: run, verification: verification, report: report)
  }

  func check(_ outcome: ShrinkJob.Outcome) throws { try outcome.verification.check() }
}
