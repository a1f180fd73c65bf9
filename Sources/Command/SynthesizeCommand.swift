internal import ArgumentParser
internal import Workflow

/// `decant synthesize`. Writes a model with random weights.
struct SynthesizeCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "synthesize",
    abstract:
      "Writes a full-size model of a family with random weights, for measurements and tests.",
    discussion: "Example: decant synthesize --family sd-v1-4 -o random-sd/ --type f16")

  @Option(
    help: ArgumentHelp("The family: \(familyNames.joined(separator: ", ")).", valueName: "name"),
    completion: .list(familyNames))
  var family: String

  @OptionGroup var output: OutputArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Seed of the weights; -1 picks a random one.", valueName: "s"))
  var seed = SeedArgument(0)

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "Number type: \(plainTypeNames.joined(separator: ", ")).", valueName: "type"),
    completion: .list(plainTypeNames))
  var type: String = defaultRandomType

  @OptionGroup var layout: LayoutArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func job() -> SynthesizeJob {
    return SynthesizeJob(
      family: family, seed: seed.value, type: type, output: layout.request(output.output))
  }

  func text(after outcome: WrittenModel) -> String {
    [outcome.loadingText, seed.fact].filter { !$0.isEmpty }.joined(separator: "\n")
  }
}
