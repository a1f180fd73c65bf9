import Models
import Stripping
import Support
import Testing

/// The published students of SDXL, derived with their recipes.
struct ExtraLargeRecipeTests {
  private func unet(_ family: String) throws -> UNetConfig {
    let template = try #require(Family.named(family)?.template)
    return try template.configs(location: family).unet
  }

  static let recipes = [
    ("ssd-1b", 1_331_334_404), ("segmind-vega", 745_225_604), ("koala-700m", 782_822_724),
    ("koala-1b", 1_161_184_324),
  ]

  @Test(arguments: recipes)
  func studentIsThePublishedOne(name: String, parameters: Int) throws {
    let plan = try StripPlan(recipe: name, for: try unet("sdxl-base-1.0"))
    #expect(plan.student.modules.parameterCount == parameters)
    #expect(UNetSpec(plan.student) == UNetSpec(try unet(name)))
    #expect(plan.origins.allSatisfy { !$0.isZeroed })
    #expect(Set(plan.origins.map(\.teacher)).count == plan.origins.count)
  }

  /// The blocks that SSD-1B keeps of ten, by a comparison of published weights.
  @Test func transformerBlocksAreRenumbered() throws {
    let plan = try StripPlan(recipe: "ssd-1b", for: try unet("sdxl-base-1.0"))
    let prefix = "down_blocks.2.attentions.1.transformer_blocks."
    let origins = plan.origins.filter {
      $0.tensor.hasPrefix(prefix) && $0.tensor.hasSuffix("norm1.bias")
    }
    #expect(
      origins.map(\.teacher) == [0, 1, 2, 6].map { "\(prefix)\($0).norm1.bias" })
    #expect(origins.map(\.tensor) == (0..<4).map { "\(prefix)\($0).norm1.bias" })
  }

  @Test func otherBlocksCanBeKept() throws {
    let plan = try StripPlan(
      recipe: "ssd-1b", keeping: [10: [0, 3, 5, 9], 2: [1]], for: try unet("sdxl-base-1.0"))
    #expect(plan.student.modules.parameterCount == 1_331_334_404)
    let kept = Set(plan.origins.map(\.teacher))
    for (block, isKept) in [(0, true), (1, false), (3, true), (6, false), (9, true)] {
      #expect(
        kept.contains("up_blocks.0.attentions.0.transformer_blocks.\(block).norm1.bias") == isKept)
    }
    #expect(kept.contains("up_blocks.1.attentions.1.transformer_blocks.1.norm1.bias"))
    #expect(!kept.contains("up_blocks.1.attentions.1.transformer_blocks.0.norm1.bias"))
    // The recipe changes no other attention.
    #expect(kept.contains("up_blocks.0.attentions.2.transformer_blocks.7.norm1.bias"))
  }

  @Test(
    arguments: [
      (
        [7: [0]],
        "the recipe 'ssd-1b' drops no transformer blocks of attentions of depth 7; expected depth "
          + "10 or 2"
      ),
      (
        [10: [0, 10]],
        "transformer blocks 0, 10 cannot be kept of attentions of depth 10; expected distinct "
          + "numbers from 0 to 9"
      ),
      (
        [10: [1, 1]],
        "transformer blocks 1, 1 cannot be kept of attentions of depth 10; expected distinct "
          + "numbers from 0 to 9"
      ),
    ] as [([Int: [Int]], String)])
  func blocksThatCannotBeKept(keeping: [Int: [Int]], sentence: String) throws {
    let unet = try unet("sdxl-base-1.0")
    let error = try #require(throws: StripError.self) {
      _ = try StripPlan(recipe: "ssd-1b", keeping: keeping, for: unet)
    }
    #expect(error.description == sentence)
  }

  @Test func refusesAStudentAsTeacher() throws {
    let unet = try unet("segmind-vega")
    let error = try #require(throws: StripError.self) {
      _ = try StripPlan(recipe: "ssd-1b", for: unet)
    }
    #expect(
      error.description
        == "the recipe 'ssd-1b' needs attentions of 10 transformer blocks, but "
        + "'down_blocks.2.attentions.0' of segmind-vega/unet has 2")
    #expect(error.remedy == .choose(.drop, purpose: "to name the blocks instead"))
  }

  /// The innermost level of this teacher has no attention.
  @Test func refusesATeacherWithoutTheAttentions() throws {
    let teacher = try StrippingTests.unet([
      "block_out_channels": [32, 64, 96], "layers_per_block": 2, "cross_attention_dim": 40,
      "attention_head_dim": 4, "norm_num_groups": 4,
      "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
      "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    ])
    let error = try #require(throws: StripError.self) {
      _ = try StripPlan(recipe: "koala-700m", for: teacher)
    }
    #expect(
      error.description
        == "the recipe 'koala-700m' needs attentions of 10 transformer blocks, but "
        + "'down_blocks.2.attentions.*' of teacher/unet has 0")
    #expect(error.remedy == .choose(.drop, purpose: "to name the blocks instead"))
  }

  @Test(arguments: [
    ("bk-sdm-v2-base", 583_480_964), ("bk-sdm-v2-small", 485_787_524),
    ("bk-sdm-v2-tiny", 326_825_604),
  ]) func recipesFitStableDiffusion2(name: String, parameters: Int) throws {
    let plan = try StripPlan(recipe: name, for: try unet("sd-v2-1-base"))
    #expect(plan.student.modules.parameterCount == parameters)
    #expect(UNetSpec(plan.student) == UNetSpec(try unet(name)))
  }
}
