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
  /// Attentions of which only some transformer blocks stay.
  package let keeps: [KeptBlocks]
  /// Where the choice of blocks was published.
  package let source: String
}

/// The transformer blocks that stay of attentions of one depth.
package struct KeptBlocks: Sendable, Hashable {
  /// In the words of `--drop`.
  package let attentions: [String]
  /// Transformer blocks that each of them has in the teacher.
  package let depth: Int
  package var blocks: [Int]
}

extension StripRecipe {
  /// Every recipe that ships, a line each.
  package static let all: [StripRecipe] = [
    bkSDMBase,
    bkSDMSmall,
    bkSDMTiny,
    ssd1B,
    segmindVega,
    koala700M,
    koala1B,
  ]

  /// Other names that people have for recipes: the same cut of another teacher, or by others.
  package static let aliases = [
    "bk-sdm-v2-base": "bk-sdm-base", "bk-sdm-v2-small": "bk-sdm-small",
    "bk-sdm-v2-tiny": "bk-sdm-tiny", "segmind-small-sd": "bk-sdm-base",
    "segmind-tiny-sd": "bk-sdm-tiny",
  ]

  private init(
    name: String, summary: String, levels: Int, drops: [String], keeps: [KeptBlocks] = [],
    source: String
  ) {
    self.init(
      name: name, summary: summary, levels: levels, layersPerBlock: 2, drops: drops, keeps: keeps,
      source: source)
  }

  /// BK-SDM's fewer layers: the second of two resnet and attention pairs of each down level, and
  /// the middle one of three of each up level.
  private static let secondPairs = ["down_blocks.*.resnets.1", "up_blocks.*.resnets.1"]

  private static let bkSDM =
    "BK-SDM (Kim et al., arXiv 2305.15798), github.com/Nota-NetsPresso/BK-SDM"

  private static let bkSDMBase = StripRecipe(
    name: "bk-sdm-base", summary: "one resnet and attention pair less in every level",
    levels: 4, drops: secondPairs, source: bkSDM)

  private static let bkSDMSmall = StripRecipe(
    name: "bk-sdm-small", summary: "bk-sdm-base without the mid block",
    levels: 4, drops: secondPairs + ["mid_block"], source: bkSDM)

  private static let bkSDMTiny = StripRecipe(
    name: "bk-sdm-tiny", summary: "bk-sdm-small without the innermost level",
    levels: 4, drops: secondPairs + ["mid_block", "down_blocks.3"],
    source: bkSDM)

  // MARK: - Stable Diffusion XL

  /// Mid block of one resnet.
  private static let plainMid = ["mid_block.attentions.0", "mid_block.resnets.1"]

  /// The structure is published; which transformer blocks stayed is not. These were found by comparing
  /// the released weights with the teacher's (laksjdjf and furusu).
  private static let ssd1B = StripRecipe(
    name: "ssd-1b", summary: "SDXL with 4 of 10 and 1 of 2 transformer blocks in most attentions",
    levels: 3, drops: plainMid,
    keeps: [
      KeptBlocks(
        attentions: [
          "down_blocks.2.attentions.0", "down_blocks.2.attentions.1", "up_blocks.0.attentions.0",
          "up_blocks.0.attentions.1",
        ], depth: 10, blocks: [0, 1, 2, 6]),
      KeptBlocks(
        attentions: ["up_blocks.1.attentions.1", "up_blocks.1.attentions.2"], depth: 2,
        blocks: [0]),
    ], source: "SSD-1B (Gupta et al., arXiv 2401.02677)")

  /// Which transformer blocks stayed is not published: the first ones are a guess.
  private static let segmindVega = StripRecipe(
    name: "segmind-vega", summary: "SDXL with 2 of 10 and 1 of 2 transformer blocks",
    levels: 3, drops: plainMid,
    keeps: [
      KeptBlocks(
        attentions: ["down_blocks.2.attentions.*", "up_blocks.0.attentions.*"], depth: 10,
        blocks: [0, 1]),
      KeptBlocks(
        attentions: ["down_blocks.1.attentions.*", "up_blocks.1.attentions.*"], depth: 2,
        blocks: [0]),
    ], source: "Segmind Vega (Gupta et al., arXiv 2401.02677)")

  private static let koala = "KOALA (Lee et al., arXiv 2312.04005)"

  /// Which transformer blocks stayed is told from memory of the paper: the first ones.
  private static let koala700M = StripRecipe(
    name: "koala-700m",
    summary: "SDXL with one resnet and attention pair less in every level, 5 of 10 transformer "
      + "blocks and no mid block",
    levels: 3, drops: secondPairs + ["mid_block"],
    keeps: [
      KeptBlocks(
        attentions: ["down_blocks.2.attentions.*", "up_blocks.0.attentions.*"], depth: 10,
        blocks: [0, 1, 2, 3, 4])
    ], source: koala)

  private static let koala1B = StripRecipe(
    name: "koala-1b",
    summary: "SDXL with one resnet and attention pair less in every level and 6 of 10 transformer "
      + "blocks",
    levels: 3, drops: secondPairs,
    keeps: [
      KeptBlocks(
        attentions: [
          "down_blocks.2.attentions.*", "mid_block.attentions.0", "up_blocks.0.attentions.*",
        ], depth: 10, blocks: [0, 1, 2, 3, 4, 5])
    ], source: koala)
}
