internal import ArgumentParser
internal import Workflow

/// `decant inspect`. Describes a model or another file of tensors.
struct InspectCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Shows what a model is: family, layout, parameters and bytes by component and block.",
    discussion: """
      Describes LoRA files too. For any other file of tensors, lists the contents, says why they \
      are not a model, and exits with code 2.

      Example: decant inspect small.decant --check
      Example: decant inspect sdxl.safetensors --vram 4GB
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @Flag(help: "List every tensor with its shape and encoding.")
  var tensors = false

  @Flag(
    help: """
      Read every tensor, compare checksums where the format has them, and find NaN and infinite \
      numbers.
      """)
  var check = false

  @Option(
    help: ArgumentHelp(
      """
      List the forms of the model for programs that use a GPU, instead of the blocks: those that \
      fit in this memory, with the command for each, then the others. 4GB is 4*10^9 bytes; 4GiB, \
      as GPUs have it, is 4.29GB.
      """, valueName: "size"), transform: ByteSize.init)
  var vram: ByteSize?

  @OptionGroup var read: InputArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func job() -> InspectJob {
    return InspectJob(
      model: model, reading: read.value, listsTensors: tensors, checks: check, budget: vram?.bytes)
  }

  func text(after outcome: InspectOutcome) -> String {
    outcome.forms?.text(options: Self.given(read.given)) ?? ""
  }

  func check(_ outcome: InspectOutcome) throws { try outcome.check() }
}
