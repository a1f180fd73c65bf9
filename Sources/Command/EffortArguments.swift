internal import ArgumentParser
private import Support
internal import Workflow

/// How much a command measures.
struct EffortArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How much is measured: quick (minutes), standard, or thorough (hours for large models).",
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
