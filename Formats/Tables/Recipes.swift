/// A named way to make a U-Net smaller: the blocks that it drops, in the words of `--drop`.
///
/// Rows name blocks and never widths, so that a recipe fits every U-Net of the right topology.
/// `*` stands for every level. What follows from a drop (the attention that goes with its resnet,
/// the mirrored up block, new numbers, the changed config) is the planner's work, not the row's.
/// `Formats/recipes.md` describes the vocabulary.
package struct StripRecipe: Sendable, Hashable {
  /// What `--recipe` calls it.
  package let name: String
  /// What it does, in one line.
  package let summary: String
  /// Levels that the teacher's U-Net must have.
  package let levels: Int
  /// `layers_per_block` that every level of the teacher must have.
  package let layersPerBlock: Int
  package let drops: [String]
  /// Where the choice of blocks was published.
  package let source: String
}

extension StripRecipe {
  /// Every recipe that ships: one line each.
  package static let all: [StripRecipe] = [bkSDMBase, bkSDMSmall, bkSDMTiny]

  /// BK-SDM's fewer layers: the second of two resnet and attention pairs of each down level, and
  /// the middle one of three of each up level.
  private static let secondPairs = ["down_blocks.*.resnets.1", "up_blocks.*.resnets.1"]

  private static let bkSDM =
    "BK-SDM (Kim et al., arXiv 2305.15798), github.com/Nota-NetsPresso/BK-SDM"

  private static let bkSDMBase = StripRecipe(
    name: "bk-sdm-base", summary: "one resnet and attention pair less in every level",
    levels: 4, layersPerBlock: 2, drops: secondPairs, source: bkSDM)

  private static let bkSDMSmall = StripRecipe(
    name: "bk-sdm-small", summary: "bk-sdm-base without the mid block",
    levels: 4, layersPerBlock: 2, drops: secondPairs + ["mid_block"], source: bkSDM)

  private static let bkSDMTiny = StripRecipe(
    name: "bk-sdm-tiny", summary: "bk-sdm-small without the innermost level",
    levels: 4, layersPerBlock: 2, drops: secondPairs + ["mid_block", "down_blocks.3"],
    source: bkSDM)
}
