internal import ArgumentParser
internal import Workflow

/// `decant strip`. Removes blocks of a U-Net.
struct StripCommand: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "strip",
    abstract:
      "Removes U-Net blocks, by a recipe or by name, and accounts for every removed tensor.",
    discussion: """
      Example: decant strip sd-v1-5/ -o small/ --recipe bk-sdm-small
      Example: decant strip sd-v1-5/ -o a/ --drop mid_block down_blocks.1.resnets.1
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @OptionGroup var output: OutputArguments

  @OptionGroup var cut: StripArguments

  @OptionGroup var layout: LayoutArguments
  @OptionGroup var strict: StrictArguments
  @OptionGroup var read: InputArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func validate() throws { _ = try chosenCut() }

  private func chosenCut() throws -> Cut {
    guard let cut = cut.value else {
      throw ValidationError("Nothing to remove; give either --recipe NAME or --drop BLOCK.")
    }
    return cut
  }

  func job() throws -> StripJob {
    return StripJob(
      model: model, reading: read.value, output: layout.request(output.output, strict),
      cut: try chosenCut())
  }

  func notes(after outcome: WrittenModel) -> [String] { cut.notes }
}

/// Blocks of the U-Net to remove, for `strip` and `shrink`.
struct StripArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Remove the blocks of a published model: \(recipeNames.joined(separator: ", ")).",
      valueName: "name"),
    completion: .list(recipeNames))
  var recipe: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      """
      Remove these blocks, named as in diffusers: down_blocks.1.resnets.1 (with its attention), \
      up_blocks.2.attentions.1, down_blocks.0.attentions.0.transformer_blocks.0, mid_block. Can be \
      repeated.
      """, valueName: "block"))
  var drop: [String] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      """
      Keep these transformer blocks instead of the recipe's, in attentions with DEPTH blocks: \
      10=0,1,2,5. Can be repeated.
      """, valueName: "depth=blocks"))
  var transformerBlocks: [KeptBlocksArgument] = []

  var value: Cut? {
    let keeping = Dictionary(transformerBlocks.map { ($0.depth, $0.blocks) }) { $1 }
    return recipe.map { Cut.recipe($0, keeping: keeping) } ?? (drop.isEmpty ? nil : .drops(drop))
  }

  /// What a user should know about the model that was written.
  var notes: [String] {
    recipe == nil
      ? []
      : [
        "the remaining blocks were not trained for this; images will be noisy until the model is "
          + "distilled or fine-tuned"
      ]
  }

  func validate() throws {
    if recipe != nil, !drop.isEmpty {
      throw ValidationError("Give either --recipe NAME or --drop BLOCK, not both.")
    }
    if recipe == nil, !transformerBlocks.isEmpty {
      throw ValidationError(
        "--transformer-blocks needs --recipe NAME; add it, or use --drop BLOCK.")
    }
  }
}

/// Transformer blocks to keep in attentions of one depth, as `10=0,1,2,6`.
struct KeptBlocksArgument: ExpressibleByArgument {
  let depth: Int
  let blocks: [Int]

  init?(argument: String) {
    let sides = argument.split(separator: "=", omittingEmptySubsequences: false)
    guard sides.count == 2, let depth = Int(sides[0]) else { return nil }
    let blocks = sides[1].split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard blocks.allSatisfy({ $0 != nil }) else { return nil }
    self.depth = depth
    self.blocks = blocks.compactMap { $0 }
  }
}
