internal import ArgumentParser
internal import Workflow

struct SynthesizeCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "synthesize",
    abstract: "Writes a full-size model of a family with random weights, to measure and test with.",
    discussion: "Example: decant synthesize --family sd-v1-4 -o random-sd/ --type f16")

  @Option(help: ArgumentHelp("\(familyNames.joined(separator: ", ")).", valueName: "name"))
  var family: String

  @OptionGroup var output: OutputArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Seed of the weights.", valueName: "s"))
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("Number type: f32, f16, bf16.", valueName: "type"))
  var type: String = "f32"

  @OptionGroup var processors: ThreadArguments
  @OptionGroup var common: CommonArguments

  func job() -> SynthesizeJob {
    processors.apply()
    return SynthesizeJob(family: family, seed: seed, type: type, output: output.value)
  }
}
