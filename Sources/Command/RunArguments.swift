internal import ArgumentParser
internal import Support
internal import Workflow

/// A command that generates images to measure a model.
protocol RunCommand {
  /// The request whose settings apply where an option is not given.
  associatedtype Request: RunRequest
  static var standard: Request { get }
  /// The default of --prompt-limit, in words.
  static var promptLimitDefault: String { get }
  /// The default of --steps, in words.
  static var stepsDefault: String { get }
  /// The default of --size, in words.
  static var sizeDefault: String { get }
  /// What the images are for, with a space before it, in the help of each option.
  static var runPurpose: String { get }
}

extension RunCommand {
  static var runPurpose: String { "" }
}

/// The images that a command generates to measure a model.
struct RunArguments<Command: RunCommand>: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      A text file with one prompt per line, and optionally a tab and a negative prompt, or a JSON \
      array of prompts (default: \(ownPromptCount) prompts of Decant's own).
      """, valueName: "file"),
    completion: .file())
  var prompts: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Use only the first N prompts (default: \(Command.promptLimitDefault)).", valueName: "n"))
  var promptLimit: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Sampling steps per image\(Command.runPurpose) (default: \(Command.stepsDefault)).",
      valueName: "n"))
  var steps: Int?

  @Option(
    help: ArgumentHelp(
      "Image width and height in pixels\(Command.runPurpose), or several, with which images take "
        + "turns (default: \(Command.sizeDefault)).",
      valueName: "WxH[,WxH]"))
  var size: ImageSizes?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Images per prompt\(Command.runPurpose), each from different noise (default: "
        + "\(Command.standard.seeds)).", valueName: "n"))
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

  /// A request with the options that are given.
  func applied(to standard: Command.Request) -> Command.Request {
    var request = standard
    request.promptsPath = prompts
    if let promptLimit {
      request.promptLimit = promptLimit
    } else if prompts != nil, !request.limitsPromptFiles {
      request.promptLimit = nil
    }
    request.set(steps: steps, sizes: size?.values ?? [])
    request.seeds = seeds ?? request.seeds
    return request
  }
}
