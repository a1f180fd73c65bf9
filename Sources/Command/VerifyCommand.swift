internal import ArgumentParser
private import Support
internal import Workflow

/// `decant verify`. Compares a model with its reference.
struct VerifyCommand: JobCommand, RunCommand {
  static let standard = VerificationRequest.standard
  static let promptLimitDefault =
    "all of --prompts FILE, of Decant's own " + byEffort { $0.promptLimit ?? ownPromptCount }
  static let stepsDefault = EffortArguments.stepsDefault
  static let sizeDefault = "by --effort: the model's own, or half of it where that is large"

  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Compares a model with its reference, by tensor, block, step and image.",
    discussion: """
      Records steps of the reference and evaluates the other model on the same inputs, makes the \
      same images with both, and gives a verdict: indistinguishable, close, different, broken or \
      retrained. Exits with code 1 if a threshold is not met.

      Example: decant verify sd-v1-5/ small.decant --report report/ --min-psnr 30
      """)

  @Argument(help: "The model to compare with.", completion: .file())
  var reference: String

  @Argument(help: "The model to check.", completion: .file())
  var candidate: String

  @OptionGroup var effort: EffortArguments
  @OptionGroup var run: RunArguments<Self>
  @OptionGroup var images: PictureArguments

  @Option(
    name: guidanceScaleNames, parsing: .unconditional, help: usualGuidanceHelp)
  var guidanceScale: Double?

  @Option(
    name: schedulerOptionNames, help: schedulerHelp(default: "the reference's own"),
    completion: .list(schedulerNames))
  var scheduler: String?

  @Flag(
    inversion: .prefixedNo,
    help: "For comparison, also measure the reference rounded to fp16 and to int8.")
  var baselines = true

  @OptionGroup var thresholds: ThresholdArguments

  @Option(
    help: ArgumentHelp(
      "Write report.json and index.html to this folder (default: no report).", valueName: "dir"),
    completion: .directory)
  var report: String?

  @Flag(help: "Replace an existing report.")
  var force = false

  @OptionGroup var read: ReadArguments
  @OptionGroup var compute: ComputeArguments

  @Option(
    help: ArgumentHelp(
      "Arithmetic of the reference; --compute is that of the candidate.", valueName: "kind"),
    completion: .list(Compute.names))
  var referenceCompute: ComputeArgument = .f32

  @OptionGroup var common: CommonArguments

  var threads: ThreadArguments { compute.threads }

  func validate() throws { try images.check(thresholds) }

  func job() -> VerifyJob {
    var request = run.applied(to: .standard(effort.effort))
    request.pictures = images.pictures
    request.guidanceScale = guidanceScale
    request.scheduler = scheduler
    request.hasBaselines = baselines
    request.compute = compute.compute.value
    request.referenceCompute = referenceCompute.value
    thresholds.apply(to: &request)
    return VerifyJob(
      reference: reference, candidate: candidate, reading: read.value, request: request,
      report: report.map(folderPath), replacing: force, command: Self.repeated)
  }

  func check(_ outcome: VerifyJob.Outcome) throws { try outcome.check() }
}
