internal import ArgumentParser
internal import Workflow

struct InspectCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Tells what a model is: family, layout, parameters and bytes by component and block.",
    discussion: "Example: decant inspect small.decant --check")

  @Argument(help: modelHelp)
  var model: String

  @Flag(help: "List every tensor with shape and encoding.")
  var tensors = false

  @Flag(help: "Read every byte and prove it sound.")
  var check = false

  @OptionGroup var read: ModelOptions
  @OptionGroup var processors: ThreadOptions
  @OptionGroup var common: CommonOptions

  func job() -> InspectJob {
    processors.apply()
    return InspectJob(model: model, reading: read.value, listsTensors: tensors, checks: check)
  }
}
