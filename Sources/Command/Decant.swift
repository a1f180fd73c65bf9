internal import ArgumentParser
private import Workflow

/// The command `decant`, with one line per subcommand in the order of its help.
struct Decant: AsyncParsableCommand {
  /// The beginning of the parser's messages, as of all others.
  static let _errorPrefix = "decant: "

  static let configuration = CommandConfiguration(
    commandName: "decant",
    abstract: "Converts, strips, quantizes and verifies Stable Diffusion models.",
    discussion: """
      MODEL is a \(modelDescription)

      Example: decant inspect model.safetensors
      Example: decant shrink sd-v1-5/ -o small.decant --recipe bk-sdm-small
      """,
    version: toolVersion,
    subcommands: [
      InspectCommand.self,
      ConvertCommand.self,
      ExtractCommand.self,
      StripCommand.self,
      DistillCommand.self,
      CalibrateCommand.self,
      PlanCommand.self,
      QuantizeCommand.self,
      ShrinkCommand.self,
      VerifyCommand.self,
      GenerateCommand.self,
      ForwardCommand.self,
      BenchCommand.self,
      ServeCommand.self,
      SynthesizeCommand.self,
    ])
}
