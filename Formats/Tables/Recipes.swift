/// A named list of blocks to drop from a U-Net.
///
/// Recipes name blocks and no widths, so a recipe applies to every U-Net of the right topology. `*`
/// stands for every level. The planner derives the consequences of a drop: the attention of a
/// dropped resnet, the mirrored up block, new block numbers and the changed config.
/// `Formats/recipes.md` describes the block names.
package struct StripRecipe: Sendable, Hashable {
  /// The name by which a user selects the recipe.
  package let name: String
  /// A one-line summary.
  package let summary: String
  /// The number of levels that the teacher's U-Net must have.
  package let levels: Int
  /// `layers_per_block` that every level of the teacher must have.
  package let layersPerBlock: Int
  /// Names of the dropped blocks.
  package let drops: [String]
  /// Attentions that keep only some of their transformer blocks.
  package let keeps: [KeptBlocks]
  /// The publication of the choice of blocks.
  package let source: String
}

/// The transformer blocks that attentions of one depth keep.
package struct KeptBlocks: Sendable, Hashable {
  /// Names of the attentions, in the notation of ``StripRecipe/drops``.
  package let attentions: [String]
  /// The number of transformer blocks of each attention in the teacher.
  package let depth: Int
  /// Indices of the kept transformer blocks.
  package var blocks: [Int]
}

extension StripRecipe {
  /// Every recipe.
  package static let all: [StripRecipe] = [
    bkSDMBase,
    bkSDMSmall,
    bkSDMTiny,
    ssd1B,
    segmindVega,
    koala700M,
    koala1B,
  ]

  /// Other names of recipes: the same blocks dropped from another teacher, or by other authors.
  package static let aliases = [
    "bk-sdm-v2-base": "bk-sdm-base", "bk-sdm-v2-small": "bk-sdm-small",
    "bk-sdm-v2-tiny": "bk-sdm-tiny", "segmind-small-sd": "bk-sdm-base",
    "segmind-tiny-sd": "bk-sdm-tiny",
  ]

  /// The repositories on huggingface.co that hold the trained weights of recipes, by the names and other
  /// names of recipes. From the publications' model cards.
  package static let repositories = [
    "bk-sdm-base": "nota-ai/bk-sdm-base", "bk-sdm-small": "nota-ai/bk-sdm-small",
    "bk-sdm-tiny": "nota-ai/bk-sdm-tiny", "bk-sdm-v2-base": "nota-ai/bk-sdm-v2-base",
    "bk-sdm-v2-small": "nota-ai/bk-sdm-v2-small", "bk-sdm-v2-tiny": "nota-ai/bk-sdm-v2-tiny",
    "segmind-small-sd": "segmind/small-sd", "segmind-tiny-sd": "segmind/tiny-sd",
    "ssd-1b": "segmind/SSD-1B", "segmind-vega": "segmind/Segmind-Vega",
    "koala-700m": "etri-vilab/koala-700m", "koala-1b": "etri-vilab/koala-1b",
  ]

  private init(
    name: String, summary: String, levels: Int, drops: [String], keeps: [KeptBlocks] = [],
    source: String
  ) {
    self.init(
      name: name, summary: summary, levels: levels, layersPerBlock: 2, drops: drops, keeps: keeps,
      source: source)
  }

  /// The layers that BK-SDM drops: the second of two resnet and attention pairs in each down level,
  /// and the second of three in each up level.
  private static let secondPairs = ["down_blocks.*.resnets.1", "up_blocks.*.resnets.1"]

  private static let bkSDM =
    "BK-SDM (Kim et al., arXiv 2305.15798), github.com/Nota-NetsPresso/BK-SDM"

  private static let bkSDMBase = StripRecipe(
    name: "bk-sdm-base", summary: "one resnet and attention pair fewer in every level",
    levels: 4, drops: secondPairs, source: bkSDM)

  private static let bkSDMSmall = StripRecipe(
    name: "bk-sdm-small", summary: "bk-sdm-base without the mid block",
    levels: 4, drops: secondPairs + ["mid_block"], source: bkSDM)

  private static let bkSDMTiny = StripRecipe(
    name: "bk-sdm-tiny", summary: "bk-sdm-small without the innermost level",
    levels: 4, drops: secondPairs + ["mid_block", "down_blocks.3"],
    source: bkSDM)

  // MARK: - Stable Diffusion XL

  /// Reduces the mid block to one resnet.
  private static let plainMid = ["mid_block.attentions.0", "mid_block.resnets.1"]

  /// The structure is published, the kept transformer blocks are not. laksjdjf and furusu found
  /// them by comparing the released weights with the teacher's.
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

  /// The kept transformer blocks are not published. Unverified: the first ones are assumed.
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

  /// The kept transformer blocks are unverified: the first ones are assumed.
  private static let koala700M = StripRecipe(
    name: "koala-700m",
    summary: "SDXL with one resnet and attention pair fewer in every level, 5 of 10 transformer "
      + "blocks and no mid block",
    levels: 3, drops: secondPairs + ["mid_block"],
    keeps: [
      KeptBlocks(
        attentions: ["down_blocks.2.attentions.*", "up_blocks.0.attentions.*"], depth: 10,
        blocks: [0, 1, 2, 3, 4])
    ], source: koala)

  private static let koala1B = StripRecipe(
    name: "koala-1b",
    summary: "SDXL with one resnet and attention pair fewer in every level and 6 of 10 transformer "
      + "blocks",
    levels: 3, drops: secondPairs,
    keeps: [
      KeptBlocks(
        attentions: [
          "down_blocks.2.attentions.*", "mid_block.attentions.0", "up_blocks.0.attentions.*",
        ], depth: 10, blocks: [0, 1, 2, 3, 4, 5])
    ], source: koala)
}
