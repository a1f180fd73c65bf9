internal import ArgumentParser
private import Workflow

/// The command `decant`: one line a subcommand, in the order in which a person meets them.
struct Decant: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decant",
    abstract: "Converts, strips, quantizes and verifies Stable Diffusion models.",
    discussion: """
      MODEL is a diffusers folder or a file (.decant, .safetensors, .ckpt, .gguf); what it is is found by
      looking at it.

      Example: decant shrink sd-v1-5/ -o small.decant --recipe bk-sdm-small --type int8
      """,
    version: toolVersion,
    subcommands: [
      InspectCommand.self,
      ConvertCommand.self,
      StripCommand.self,
      CalibrateCommand.self,
      QuantizeCommand.self,
      ShrinkCommand.self,
      VerifyCommand.self,
      GenerateCommand.self,
      ForwardCommand.self,
      BenchCommand.self,
      SynthesizeCommand.self,
    ])
}
