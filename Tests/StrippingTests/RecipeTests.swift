import Models
import Stripping
import Support
import TestSupport
import Testing

/// The published students that BK-SDM's authors derived from Stable Diffusion 1.4.
struct Published: Sendable, CustomTestStringConvertible {
  let recipe: String
  let parameters: Int
  let tensors: Int
  let dropped: Set<String>
  /// Teacher's block by student's block. All other blocks keep their names.
  let renamed: [String: String]
  let config: JSONObject

  var testDescription: String { recipe }

  private static let pairs: Set<String> = [
    "down_blocks.0.attentions.1", "down_blocks.0.resnets.1", "down_blocks.1.attentions.1",
    "down_blocks.1.resnets.1", "down_blocks.2.attentions.1", "down_blocks.2.resnets.1",
    "down_blocks.3.resnets.1", "up_blocks.0.resnets.1", "up_blocks.1.attentions.1",
    "up_blocks.1.resnets.1", "up_blocks.2.attentions.1", "up_blocks.2.resnets.1",
    "up_blocks.3.attentions.1", "up_blocks.3.resnets.1",
  ]

  private static let renumbered = [
    "up_blocks.0.resnets.1": "up_blocks.0.resnets.2",
    "up_blocks.1.resnets.1": "up_blocks.1.resnets.2",
    "up_blocks.1.attentions.1": "up_blocks.1.attentions.2",
    "up_blocks.2.resnets.1": "up_blocks.2.resnets.2",
    "up_blocks.2.attentions.1": "up_blocks.2.attentions.2",
    "up_blocks.3.resnets.1": "up_blocks.3.resnets.2",
    "up_blocks.3.attentions.1": "up_blocks.3.attentions.2",
  ]

  static let all = [
    Published(
      recipe: "bk-sdm-base", parameters: 579_384_964, tensors: 442, dropped: pairs,
      renamed: renumbered,
      config: ["layers_per_block": 1, "mid_block_type": "UNetMidBlock2DCrossAttn"]),
    Published(
      recipe: "bk-sdm-small", parameters: 482_346_884, tensors: 396,
      dropped: pairs.union(["mid_block"]), renamed: renumbered,
      config: ["layers_per_block": 1, "mid_block_type": nil]),
    Published(
      recipe: "bk-sdm-tiny", parameters: 323_384_964, tensors: 358,
      dropped: pairs.filter { !$0.hasPrefix("down_blocks.3") && !$0.hasPrefix("up_blocks.0") }
        .union(["mid_block", "down_blocks.2.downsamplers.0", "down_blocks.3", "up_blocks.0"]),
      renamed: [
        "up_blocks.0.resnets.0": "up_blocks.1.resnets.0",
        "up_blocks.0.resnets.1": "up_blocks.1.resnets.2",
        "up_blocks.0.attentions.0": "up_blocks.1.attentions.0",
        "up_blocks.0.attentions.1": "up_blocks.1.attentions.2",
        "up_blocks.0.upsamplers.0": "up_blocks.1.upsamplers.0",
        "up_blocks.1.resnets.0": "up_blocks.2.resnets.0",
        "up_blocks.1.resnets.1": "up_blocks.2.resnets.2",
        "up_blocks.1.attentions.0": "up_blocks.2.attentions.0",
        "up_blocks.1.attentions.1": "up_blocks.2.attentions.2",
        "up_blocks.1.upsamplers.0": "up_blocks.2.upsamplers.0",
        "up_blocks.2.resnets.0": "up_blocks.3.resnets.0",
        "up_blocks.2.resnets.1": "up_blocks.3.resnets.2",
        "up_blocks.2.attentions.0": "up_blocks.3.attentions.0",
        "up_blocks.2.attentions.1": "up_blocks.3.attentions.2",
      ],
      config: [
        "block_out_channels": [320, 640, 1280],
        "down_block_types": [
          "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
        ],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1, "mid_block_type": nil,
      ]),
  ]
}

struct RecipeTests {
  @Test func everyRecipeIsPublished() {
    #expect(
      StripPlan.recipes.map(\.name)
        == Published.all.map(\.recipe) + ["ssd-1b", "segmind-vega", "koala-700m", "koala-1b"])
    #expect(StripPlan.recipes.allSatisfy { !$0.summary.isEmpty })
  }

  @Test(arguments: Published.all)
  func studentIsThePublishedOne(_ published: Published) throws {
    let plan = try StripPlan(recipe: published.recipe, for: try stableDiffusion1())
    #expect(plan.student.modules.parameterCount == published.parameters)
    #expect(plan.student.modules.tensors.count == published.tensors)
    #expect(plan.ledger.student.parameters == published.parameters)
    #expect(plan.ledger.student.tensors == published.tensors)
    #expect(plan.ledger.teacher.parameters == 859_520_964)
    #expect(plan.ledger.teacher.tensors == 686)
  }

  @Test(arguments: Published.all)
  func everyTensorComesFromThePublishedTensor(_ published: Published) throws {
    let teacher = try stableDiffusion1()
    let plan = try StripPlan(recipe: published.recipe, for: teacher)
    for origin in plan.origins {
      let block = published.renamed.keys.first { origin.tensor.hasPrefix($0 + ".") }
      let expected = block.map { (published.renamed[$0] ?? "") + origin.tensor.dropFirst($0.count) }
      #expect(origin.teacher == expected ?? origin.tensor)
      #expect(!origin.isZeroed)
    }
    let kept = Set(plan.origins.map(\.teacher))
    for tensor in teacher.modules.tensors {
      let isDropped = published.dropped.contains { tensor.name.hasPrefix($0 + ".") }
      #expect(kept.contains(tensor.name) != isDropped, "\(tensor.name)")
    }
    // The ledger also lists the transformer blocks of renamed attentions.
    let blocks = plan.ledger.renamed.filter { !$0.student.contains("transformer_blocks") }
    let found = Dictionary(uniqueKeysWithValues: blocks.map { ($0.student, $0.teacher) })
    #expect(found == published.renamed)
    #expect(Set(plan.ledger.removed.map(\.block)) == published.dropped)
  }

  @Test(arguments: Published.all)
  func configChangesAreThePublishedOnes(_ published: Published) throws {
    let plan = try StripPlan(recipe: published.recipe, for: try stableDiffusion1())
    let changes = plan.ledger.changes
    #expect(Set(changes.map(\.field)) == Set(published.config.keys))
    for change in changes {
      #expect(change.after == published.config[change.field], "\(change.field)")
      #expect(plan.student.json[change.field] == change.after)
    }
  }

  @Test(arguments: Published.all)
  func recipesFitAnyWidth(_ published: Published) throws {
    let plan = try StripPlan(recipe: published.recipe, for: try miniature())
    #expect(plan.student.modules.tensors.count == published.tensors)
    #expect(
      plan.ledger.teacher.parameters
        == plan.ledger.student.parameters + plan.ledger.removedParameters)
  }

  /// Dropping a level shortens the lists of heads and depths that Stable Diffusion 2 has.
  @Test func listsLoseTheDroppedLevel() throws {
    let teacher = try miniature([
      "attention_head_dim": [2, 4, 6, 6], "cross_attention_dim": [40, 40, 40, 40],
      "only_cross_attention": [false, false, false, false],
      "transformer_layers_per_block": [1, 1, 1, 1],
    ])
    let student = try StripPlan(recipe: "bk-sdm-tiny", for: teacher).student.json
    #expect(student["attention_head_dim"] == [2, 4, 6])
    #expect(student["cross_attention_dim"] == [40, 40, 40])
    #expect(student["only_cross_attention"] == [false, false, false])
    #expect(student["transformer_layers_per_block"] == [1, 1, 1])
    #expect(student["reverse_transformer_layers_per_block"] == nil)
  }

  @Test func recipesAreFoundInAnyCase() throws {
    let usual = try StripPlan(recipe: "bk-sdm-small", for: try miniature())
    let other = try StripPlan(recipe: "BK-SDM-Small", for: try miniature())
    #expect(other.student.json == usual.student.json)
    #expect(
      StripError(location: "x", .unknownRecipe("bk-sdm", known: ["bk-sdm-base", "ssd-1b"]))
        .description
        == "unknown recipe 'bk-sdm' (did you mean 'bk-sdm-base'?); expected bk-sdm-base, ssd-1b")
  }

  @Test func unknownRecipe() throws {
    #expect(
      throws: StripError(
        location: "teacher/unet/config.json",
        .unknownRecipe(
          "bk-small",
          known: [
            "bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny", "ssd-1b", "segmind-vega", "koala-700m",
            "koala-1b", "bk-sdm-v2-base", "bk-sdm-v2-small", "bk-sdm-v2-tiny", "segmind-small-sd",
            "segmind-tiny-sd",
          ]))
    ) {
      _ = try StripPlan(recipe: "bk-small", for: try miniature())
    }
  }

  @Test func refusesAnotherTopology() throws {
    let error = try #require(throws: StripError.self) {
      _ = try StripPlan(recipe: "bk-sdm-base", for: try threeLevels())
    }
    #expect(
      error.description == """
        the recipe 'bk-sdm-base' needs a U-Net of 4 levels with 2 layers each, but teacher/unet \
        has 3 levels with 2, 2, 2 layers
        """)
  }

  @Test func refusesARecipeTwice() throws {
    let student = try StripPlan(recipe: "bk-sdm-base", for: try miniature()).student
    #expect(throws: StripError.self) { _ = try StripPlan(recipe: "bk-sdm-small", for: student) }
  }

  @Test func everyRecipeHasAPublishedModel() {
    let names = StripPlan.recipes.map(\.name) + StripPlan.recipeAliases
    let repositories = names.compactMap(StripPlan.repository)
    #expect(repositories.count == names.count)
    #expect(Set(repositories).count == names.count && repositories.allSatisfy { $0.contains("/") })
    #expect(StripPlan.repository(ofRecipe: "SSD-1B") == "segmind/SSD-1B")
    #expect(StripPlan.repository(ofRecipe: "other") == nil)
  }
}
