internal import ArgumentParser
internal import Support
internal import Workflow

/// What pictures are made, to calibrate with or to verify with.
struct RunArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Prompts, one a line, each with a negative one after a tab where it has one (a list of "
        + "Decant's own unless given).", valueName: "file"))
  var prompts: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Use only the first so many prompts.", valueName: "n"))
  var promptLimit: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Sampler steps a picture (\(CalibrationRequest.standard.steps) unless given).",
      valueName: "n"))
  var steps: Int?

  @Option(help: ArgumentHelp("Image size (the model's own unless given).", valueName: "WxH"))
  var size: ImageSize?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Pictures a prompt, each from noise of its own (\(CalibrationRequest.standard.seeds) unless "
        + "given).", valueName: "n"))
  var seeds: Int?

  func validate() throws {
    try requirePositive([
      ("--steps", steps ?? 1), ("--seeds", seeds ?? 1), ("--prompt-limit", promptLimit ?? 1),
    ])
  }

  /// Names of the options that are given.
  var given: [String] {
    [
      ("--prompts", prompts != nil), ("--prompt-limit", promptLimit != nil),
      ("--steps", steps != nil), ("--size", size != nil), ("--seeds", seeds != nil),
    ].filter(\.1).map(\.0)
  }

  func apply(to request: inout some RunRequest) {
    request.promptsPath = prompts
    // Of a file, all unless told; of Decant's own list, what the request begins with.
    request.promptLimit = promptLimit ?? (prompts == nil ? request.promptLimit : nil)
    request.steps = steps ?? CalibrationRequest.standard.steps
    request.seeds = seeds ?? CalibrationRequest.standard.seeds
    request.size = size
  }
}

/// Refuses counts below 1.
func requirePositive(_ options: [(name: String, value: Int)]) throws {
  for (name, value) in options where value < 1 {
    throw ValidationError("\(name) takes 1 or more, not \(value).")
  }
}
