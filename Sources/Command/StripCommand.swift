internal import ArgumentParser
private import Support
internal import Workflow

/// `decant strip`. Removes blocks of a U-Net.
struct StripCommand: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "strip",
    abstract:
      "Removes U-Net blocks, by measurement or by name, and accounts for every removed tensor.",
    discussion: """
      --max-error, --to-size and --to-parameters choose the blocks that the model needs least: those \
      whose removal changes the guided prediction least in the recorded calls of the calibration. \
      --recipe removes the blocks that a published model lacks; without that model's training, images \
      are ruined.

      Example: decant strip sd-v1-5/ -o small/ --max-error 2% --calibration c
      Example: decant strip sd-v1-5/ -o a/ --drop mid_block down_blocks.1.resnets.1
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @OptionGroup var output: OutputArguments

  @OptionGroup var limits: RemovalArguments
  @OptionGroup var cut: StripArguments

  @OptionGroup var layout: LayoutArguments
  @OptionGroup var strict: StrictArguments
  @OptionGroup var read: InputArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func validate() throws { _ = try chosenCut() }

  private func chosenCut() throws -> Cut {
    let given = limits.given + cut.given
    if given.count > 1 {
      throw ValidationError("Give one of \(listed(given)): each decides on the blocks to remove.")
    }
    if let limit = limits.limit {
      guard limits.calibration != nil else {
        throw ValidationError(
          "\(given[0]) needs --calibration FILE, with which errors are measured; make it with `decant "
            + "calibrate`.")
      }
      return .measured(limit)
    }
    guard let cut = cut.value else {
      throw ValidationError(
        "Nothing to remove; give --max-error 2% with --calibration FILE (recommended), or one of "
          + "--to-size and --to-parameters with it, --recipe NAME and --drop BLOCK.")
    }
    return cut
  }

  func job() throws -> StripJob {
    return StripJob(
      model: model, reading: read.value, output: layout.request(output.output, strict),
      cut: try chosenCut(), calibration: limits.calibration)
  }

  func notes(after outcome: WrittenModel) -> [String] {
    cut.notes(isMeasured: limits.calibration != nil)
  }
}

/// How far `strip` removes blocks by measurement.
struct RemovalArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Remove as many parameters as possible while the error of the guided prediction is at most this "
        + "percentage: 2% hardly shows, above 20% images suffer, above 30% they are ruined.",
      valueName: "percent"))
  var maxError: PercentArgument?

  @Option(
    help: ArgumentHelp(
      "Remove blocks until at most this percentage of the U-Net's parameters is left, such as 50%.",
      valueName: "percent"))
  var toSize: PercentArgument?

  @Option(
    help: ArgumentHelp(
      "Remove blocks until the U-Net has at most this many parameters, such as 1.3B.",
      valueName: "count"))
  var toParameters: ParameterCount?

  @Option(
    help: ArgumentHelp(
      "The model's calibration, from `decant calibrate`, in whose recorded calls errors are measured. "
        + "The scores of blocks are kept beside it.", valueName: "file"),
    completion: .file())
  var calibration: String?

  private var limits: [(option: String, limit: RemovalLimit)] {
    let all: [(String, RemovalLimit?)] = [
      ("--max-error", maxError.map { .error($0.ratio) }),
      ("--to-size", toSize.map { .share($0.ratio) }),
      ("--to-parameters", toParameters.map { .parameters($0.count) }),
    ]
    return all.compactMap { option, limit in limit.map { (option, $0) } }
  }

  var limit: RemovalLimit? { limits.first?.limit }

  /// Names of the options that are given and choose blocks.
  var given: [String] { limits.map(\.option) }
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

  /// Names of the options that are given and choose blocks.
  var given: [String] {
    [("--recipe", recipe != nil), ("--drop", !drop.isEmpty)].filter(\.1).map(\.0)
  }

  /// What a user should know about the model that was written.
  ///
  /// - Parameter isMeasured: whether the error is stated already, with its consequence.
  func notes(isMeasured: Bool = false) -> [String] {
    guard let recipe else { return [] }
    let warning =
      "the remaining blocks were not trained to work without those of \(recipe): images are ruined "
      + "until the model is distilled or fine-tuned"
    let published = repositoryName(ofRecipe: recipe).map {
      "the published model with these blocks is trained: \($0) on huggingface.co"
    }
    return (isMeasured ? [] : [warning]) + [published].compactMap { $0 }
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
