internal import ArgumentParser
internal import Workflow

struct InspectCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Tells what a model is: family, layout, parameters and bytes by component and block.",
    discussion: """
      A file of adapters (LoRA) is described as well. Of any other file of tensors it tells what is in it,
      and why that is no model; the exit code is 2 then.
      Example: decant inspect small.decant --check
      """)

  @Argument(help: modelHelp)
  var model: String

  @Flag(help: "List every tensor with shape and encoding.")
  var tensors = false

  @Flag(help: "Read every byte and prove it sound.")
  var check = false

  @OptionGroup var read: InputArguments
  @OptionGroup var processors: ThreadArguments
  @OptionGroup var common: CommonArguments

  func job() -> InspectJob {
    processors.apply()
    return InspectJob(model: model, reading: read.value, listsTensors: tensors, checks: check)
  }

  func check(_ outcome: InspectOutcome) throws { try outcome.check() }
}
