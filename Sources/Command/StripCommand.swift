internal import ArgumentParser
internal import Workflow

struct StripCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "strip",
    abstract: "Removes U-Net blocks by a recipe or by name and accounts for every tensor removed.",
    discussion: """
      Example: decant strip sd-v1-5/ -o small/ --recipe bk-sdm-small
      Example: decant strip sd-v1-5/ -o less/ --drop mid_block --drop down_blocks.1.resnets.1
      """)

  @Argument(help: modelHelp)
  var model: String

  @OptionGroup var output: OutputOptions

  @Option(
    help: ArgumentHelp(
      "Which blocks go: \(recipeNames.joined(separator: ", ")).", valueName: "name"))
  var recipe: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Blocks to remove, by diffusers' names: down_blocks.1.resnets.1 (with its attention), up_blocks.2.attentions.1, down_blocks.0.attentions.0.transformer_blocks.0, mid_block.",
      valueName: "block"))
  var drop: [String] = []

  @Flag(help: "Print the facts as JSON.")
  var json = false

  @OptionGroup var read: ModelOptions
  @OptionGroup var processors: ThreadOptions
  @OptionGroup var common: CommonOptions

  var printsJSON: Bool { json }

  func validate() throws {
    if (recipe == nil) == drop.isEmpty {
      throw ValidationError("Give either --recipe NAME or --drop BLOCK, and not both.")
    }
  }

  func job() -> StripJob {
    processors.apply()
    return StripJob(
      model: model, reading: read.value, output: output.value,
      cut: recipe.map(Cut.recipe) ?? .drops(drop))
  }
}
