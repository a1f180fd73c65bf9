internal import ArgumentParser
private import Support
internal import Workflow

/// How much a command measures.
struct EffortArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How much is measured: quick (minutes), standard, or thorough (hours for large models). Decides "
        + "on the prompts, steps and sizes that no option states.",
      valueName: "level"))
  var effort: Effort = .standard

  // The defaults of options that follow from the effort.
  static let stepsDefault =
    list(\.steps) + " by --effort, 4 for turbo and LCM models"
  static let promptsDefault = list(\.prompts) + " by --effort"
  static let sizeDefault = "one or two sizes near the model's own, by --effort"

  private static func list(_ value: (Effort) -> Int) -> String {
    alternatives(Effort.allCases.map { "\(value($0))" })
  }
}

/// The images of a verification.
struct PictureArguments: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Images that each model makes to compare them, 0 for none; all other measures need none "
        + "(default: \(defaults)).", valueName: "n"))
  var pictures: Int?

  private static let defaults =
    byEffort(\.standardPictures) + "; one for each run of --prompts or --seeds"

  func validate() throws {
    if let pictures, pictures < 0 {
      throw ValidationError("--pictures takes 0 or more, not \(pictures).")
    }
  }

  /// Refuses thresholds of images where no image is made.
  func check(_ thresholds: ThresholdArguments) throws {
    guard pictures == 0, let option = thresholds.ofImages.first else { return }
    throw ValidationError("\(option) cannot be checked with --pictures 0; leave one of them out.")
  }
}

/// A number of a verification's standard request for each effort: `6 with quick, 8 with standard`.
func byEffort(_ number: (VerificationRequest) -> Int) -> String {
  Effort.allCases.map { "\(number(.standard($0))) with \($0.rawValue)" }.joined(separator: ", ")
}
