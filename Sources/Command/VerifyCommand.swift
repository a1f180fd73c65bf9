internal import ArgumentParser
internal import Workflow

struct VerifyCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Compares a model with its reference by tensor, block, step and picture.",
    discussion: """
      Exit code 1 when a threshold is not met.
      Example: decant verify sd-v1-5/ small.decant --report report/ --min-psnr 30
      """)

  @Argument(help: "The model to compare with.")
  var reference: String

  @Argument(help: "The model to prove.")
  var candidate: String

  @OptionGroup var run: RunArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How strongly the prompt guides.", valueName: "g"))
  var guidanceScale: Double = VerificationRequest.standard.guidanceScale

  @Option(
    help: ArgumentHelp(
      "\(schedulerNames.joined(separator: ", ")) (the reference's own unless given).",
      valueName: "name"))
  var scheduler: String?

  @Flag(
    inversion: .prefixedNo,
    help: "Measure the reference in fp16 and in plainly rounded int8 beside.")
  var baselines = true

  @OptionGroup var thresholds: ThresholdArguments

  @Option(help: ArgumentHelp("Write report.json and index.html there.", valueName: "dir"))
  var report: String?

  @Flag(help: "Replace a report that stands there.")
  var force = false

  @OptionGroup var read: ReadArguments
  @OptionGroup var compute: ComputeArguments

  @Option(
    help: ArgumentHelp("What the reference's arithmetic is done in.", valueName: "kind"))
  var referenceCompute: ComputeArgument = .f32
  @OptionGroup var common: CommonArguments

  func job() -> VerifyJob {
    compute.apply()
    var request = VerificationRequest.standard
    run.apply(to: &request)
    request.guidanceScale = guidanceScale
    request.scheduler = scheduler
    request.hasBaselines = baselines
    request.compute = compute.compute.value
    request.referenceCompute = referenceCompute.value
    thresholds.apply(to: &request)
    return VerifyJob(
      reference: reference, candidate: candidate, reading: read.value, request: request,
      report: report, replacing: force)
  }

  func check(_ outcome: VerifyJob.Outcome) throws { try outcome.check() }
}

/// What a verification must meet.
struct ThresholdArguments: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Least PSNR of any picture.", valueName: "dB"))
  var minPsnr: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Least SSIM of any picture.", valueName: "x"))
  var minSsim: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Largest relative error of the final latents of any picture.", valueName: "x"))
  var maxLatentError: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Largest relative error of a noise prediction on the reference's trajectory.", valueName: "x")
  )
  var maxStepError: Double?

  func validate() throws {
    for (name, value) in [
      ("--min-psnr", minPsnr), ("--min-ssim", minSsim), ("--max-latent-error", maxLatentError),
      ("--max-step-error", maxStepError),
    ] {
      if let value, !value.isFinite {
        throw ValidationError("\(name) takes a finite number, not \(value).")
      }
    }
    if let minSsim, minSsim > 1 {
      throw ValidationError("--min-ssim takes at most 1, which is identical, not \(minSsim).")
    }
    for (name, value) in [
      ("--max-latent-error", maxLatentError), ("--max-step-error", maxStepError),
    ] {
      if let value, value < 0 { throw ValidationError("\(name) takes 0 or more, not \(value).") }
    }
  }

  func apply(to request: inout VerificationRequest) {
    request.minimumPSNR = minPsnr
    request.minimumSSIM = minSsim
    request.maximumLatentError = maxLatentError
    request.maximumStepError = maxStepError
  }
}
