internal import ArgumentParser
private import Support
internal import Workflow

/// `decant shrink`. Strips, calibrates, quantizes, writes and verifies in one job.
struct ShrinkCommand: WritingCommand, RunCommand {
  /// A short calibration. `decant calibrate` makes a long one.
  static let standard = CalibrationRequest(.standard, isPart: true)
  static let stepsDefault = EffortArguments.stepsDefault
  static let sizeDefault = EffortArguments.sizeDefault
  static let promptLimitDefault =
    "\(EffortArguments.promptsDefault) to calibrate, and the next ones to verify, of a file too"
  static let runPurpose = " of the calibration"

  static let configuration = CommandConfiguration(
    commandName: "shrink",
    abstract: "Strips, calibrates, quantizes, writes and verifies a model in one command.",
    discussion: """
      Without --recipe, --drop and --allow-strip, no block is removed. The verification evaluates the new model \
      on the recorded steps of the calibration, makes images with both models and gives a \
      verdict; exits with code 1 if a threshold is not met, which keeps the model.

      Example: decant shrink sd-v1-5/ -o small.decant --type int8
      Example: decant shrink sd15/ -o a.decant --recipe bk-sdm-small --report report/
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @OptionGroup var output: OutputArguments

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "Type of the U-Net's weights: \(typeHelp) (default: \(defaultShrunkType), without a target and "
        + "without --plan).",
      valueName: "type"),
    completion: .list(schemeNames))
  var type: String?

  @OptionGroup var cut: StripArguments
  @Option(
    help: ArgumentHelp(
      "The model's calibration, from `decant calibrate` (default: a short run, kept as "
        + "OUT.calibration).", valueName: "file"),
    completion: .file())
  var calibration: String?

  @OptionGroup var quantization: QuantizationArguments

  @Flag(
    help: """
      With a target, remove blocks of the U-Net too, where the measured error is smaller than with fewer \
      bits a weight (default: no block is removed). The weights of --target-bits are those of the original.
      """)
  var allowStrip = false

  @OptionGroup var effort: EffortArguments
  @OptionGroup var calibrating: RunArguments<Self>
  @OptionGroup var images: PictureArguments
  @OptionGroup var thresholds: ThresholdArguments

  @Option(
    help: ArgumentHelp(
      "Write report.json and index.html to this folder (default: no report).", valueName: "dir"),
    completion: .directory)
  var report: String?

  @Flag(
    name: .customLong("no-verify"),
    help: "Write the model without a verification (default: it gets its name after one).")
  var skipsVerification = false

  @OptionGroup var layout: LayoutArguments
  @OptionGroup var strict: StrictArguments
  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    try quantization.check(type: type)
    func refuse(_ idle: [String], with reason: String) throws {
      if idle.isEmpty { return }
      throw ValidationError(
        "\(listed(idle)) \(idle.count == 1 ? "has" : "have") no effect with \(reason); leave "
          + "\(idle.count == 1 ? "it" : "them") out.")
    }
    if calibration != nil {
      // The prompts are also those of the verification.
      try refuse(
        calibrating.given.filter { $0 != "--prompts" || skipsVerification },
        with: "--calibration, which is made already")
    }
    if allowStrip {
      if quantization.targets.target == nil {
        throw ValidationError(
          "--allow-strip needs a target: --target-size, --target-bits, --max-error or --vram.")
      }
      if let option = cut.given.first {
        throw ValidationError(
          "Give \(option) or --allow-strip, not both: each decides on the blocks to remove.")
      }
    }
    if skipsVerification {
      try refuse(
        thresholds.given + (images.pictures == nil ? [] : ["--pictures"])
          + (report == nil ? [] : ["--report"]), with: "--no-verify")
    }
    try images.check(thresholds)
  }

  var threads: ThreadArguments { compute.threads }

  func job() -> ShrinkJob {
    var verification = VerificationRequest.standard(effort.effort)
    verification.pictures = images.pictures ?? verification.standardPictures
    thresholds.apply(to: &verification)
    verification.compute = compute.compute.value
    let run = calibrating.applied(to: CalibrationRequest(effort.effort, isPart: true))
    return ShrinkJob(
      model: model, reading: read.value, output: layout.request(output.output, strict),
      cut: cut.value,
      quantization: quantization.request(
        type: type ?? (quantization.targets.isEmpty ? defaultShrunkType : nil)),
      calibration: calibration,
      calibrating: run, verification: skipsVerification ? nil : verification,
      report: report.map(folderPath), command: Self.repeated, allowsRemoval: allowStrip)
  }

  func check(_ outcome: ShrinkJob.Outcome) throws { try outcome.verification?.check() }

  func written(by outcome: ShrinkOutcome) -> WrittenModel? { outcome.written }

  func notes(after outcome: ShrinkOutcome) -> [String] { cut.notes() }
}
