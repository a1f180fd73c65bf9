internal import ArgumentParser
internal import Workflow

/// What pictures are made, to calibrate with or to verify with.
struct RunOptions: ParsableArguments {
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
    help: ArgumentHelp("Sampler steps a picture.", valueName: "n"))
  var steps: Int = CalibrationRequest.standard.steps

  @Option(help: ArgumentHelp("Picture size (the model's own unless given).", valueName: "WxH"))
  var size: PictureSize?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Pictures a prompt, each from noise of its own.", valueName: "n"))
  var seeds: Int = CalibrationRequest.standard.seeds

  func validate() throws {
    try requirePositive([
      ("--steps", steps), ("--seeds", seeds), ("--prompt-limit", promptLimit ?? 1),
    ])
  }

  func apply(to request: inout some RunRequest) {
    request.promptsPath = prompts
    // Of a file, all unless told; of Decant's own list, what the request begins with.
    request.promptLimit = promptLimit ?? (prompts == nil ? request.promptLimit : nil)
    request.steps = steps
    request.seeds = seeds
    request.size = size
  }
}

/// Refuses counts below 1.
func requirePositive(_ options: [(name: String, value: Int)]) throws {
  for (name, value) in options where value < 1 {
    throw ValidationError("\(name) takes 1 or more, not \(value).")
  }
}
