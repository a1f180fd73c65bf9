internal import ArgumentParser
internal import Workflow

/// Thresholds that a candidate must meet, for `verify` and `shrink`.
struct ThresholdArguments: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Fail if the PSNR of an image is below this, in decibels (default: no threshold).",
      valueName: "dB"))
  var minPsnr: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Fail if the SSIM of an image is below this, at most 1 (default: no threshold).",
      valueName: "x"))
  var minSsim: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      Fail if the relative error of an image's final latents is above this; 0.1 is 10 % (default: \
      no threshold).
      """, valueName: "x"))
  var maxLatentError: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      Fail if the relative error of a noise prediction is above this, at the reference's latents; \
      0.1 is 10 % (default: no threshold).
      """, valueName: "x"))
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

  /// Names of the options that are given.
  var given: [String] {
    [
      ("--min-psnr", minPsnr), ("--min-ssim", minSsim), ("--max-latent-error", maxLatentError),
      ("--max-step-error", maxStepError),
    ].filter { $0.1 != nil }.map(\.0)
  }

  /// Names of the options that are given and that images are measured for.
  var ofImages: [String] { given.filter { $0 != "--max-step-error" } }

  func apply(to request: inout VerificationRequest) {
    request.minimumPSNR = minPsnr
    request.minimumSSIM = minSsim
    request.maximumLatentError = maxLatentError
    request.maximumStepError = maxStepError
  }
}
