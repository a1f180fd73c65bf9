import ModelSources
import Models
import Stripping
import Support
import Tensors
import Testing

/// Compares stripped U-Nets with their teacher by value, tensor by tensor.
///
/// The expected sources are stated here, independently of the planner: the blocks of the student
/// that come from a block of the teacher with another name. All other tensors keep their names.
struct StripValueTests {
  /// A strip with the blocks that it renames.
  struct Case: Sendable, CustomTestStringConvertible {
    /// A recipe, or empty for ``drops``.
    var recipe = ""
    var drops: [String] = []
    let isExtraLarge: Bool
    /// Teacher's block by student's block.
    let renamed: [String: String]
    /// Tensors that are filled with zeros, by the student's names.
    var zeroed: Set<String> = []

    var testDescription: String { recipe.isEmpty ? drops.joined(separator: ", ") : recipe }
  }

  /// What the tensors of a published U-Net do not show is known, also of its student.
  @Test func theConfigOfAPublishedTeachersStudentIsNotAssumed() throws {
    for (teacher, isDerived, expected) in [
      (try stableDiffusion1(), true, false), (try stableDiffusion1(), false, false),
      (try miniature(), true, true), (try miniature(), false, false),
    ] {
      let plan = try StripPlan(dropping: ["mid_block"], for: teacher)
      let unet = ModelSource.Component(
        name: "unet", className: "UNet2DConditionModel", config: teacher.json,
        weights: MemorySource(location: "teacher", []), configIsDerived: isDerived)
      let student = plan.student(of: unet)
      #expect(student.configIsDerived == expected)
      #expect(student.config == plan.student.json && student.config != teacher.json)
      #expect(student.name == "unet" && student.className == unet.className)
      #expect(student.weights.names == plan.weights(from: unet.weights).names)
    }
  }

  /// KOALA drops the middle of three layers of each up block.
  private static let koala = [
    "up_blocks.0.resnets.1": "up_blocks.0.resnets.2",
    "up_blocks.0.attentions.1": "up_blocks.0.attentions.2",
    "up_blocks.1.resnets.1": "up_blocks.1.resnets.2",
    "up_blocks.1.attentions.1": "up_blocks.1.attentions.2",
    "up_blocks.2.resnets.1": "up_blocks.2.resnets.2",
  ]

  /// SSD-1B keeps transformer blocks 0, 1, 2 and 6 of ten in four attentions.
  private static let ssd = Dictionary(
    uniqueKeysWithValues: [
      "down_blocks.2.attentions.0", "down_blocks.2.attentions.1", "up_blocks.0.attentions.0",
      "up_blocks.0.attentions.1",
    ].map { ("\($0).transformer_blocks.3", "\($0).transformer_blocks.6") })

  static let recipes =
    Published.all.map { Case(recipe: $0.recipe, isExtraLarge: false, renamed: $0.renamed) } + [
      Case(recipe: "ssd-1b", isExtraLarge: true, renamed: ssd),
      Case(recipe: "segmind-vega", isExtraLarge: true, renamed: [:]),
      Case(recipe: "koala-700m", isExtraLarge: true, renamed: koala),
      Case(recipe: "koala-1b", isExtraLarge: true, renamed: koala),
    ]

  /// One, two and three drops in different levels.
  static let drops = [
    Case(
      drops: ["up_blocks.1.resnets.1"], isExtraLarge: false,
      renamed: [
        "up_blocks.1.resnets.1": "up_blocks.1.resnets.2",
        "up_blocks.1.attentions.1": "up_blocks.1.attentions.2",
      ]),
    Case(
      drops: ["up_blocks.0.resnets.0", "down_blocks.1.resnets.1"], isExtraLarge: false,
      renamed: [
        "up_blocks.0.resnets.0": "up_blocks.0.resnets.1",
        "up_blocks.0.resnets.1": "up_blocks.0.resnets.2",
        "up_blocks.2.resnets.1": "up_blocks.2.resnets.2",
        "up_blocks.2.attentions.1": "up_blocks.2.attentions.2",
      ]),
    Case(
      drops: ["down_blocks.3", "mid_block", "up_blocks.3.attentions.1"], isExtraLarge: false,
      renamed: [
        "up_blocks.0": "up_blocks.1", "up_blocks.1": "up_blocks.2", "up_blocks.2": "up_blocks.3",
      ],
      zeroed: [
        "up_blocks.2.attentions.1.proj_out.weight", "up_blocks.2.attentions.1.proj_out.bias",
      ]),
    Case(
      drops: [
        "mid_block", "up_blocks.1.attentions.2.transformer_blocks.0",
        "down_blocks.2.attentions.0.transformer_blocks.0",
        "down_blocks.2.attentions.0.transformer_blocks.1",
      ], isExtraLarge: true,
      renamed: Dictionary(
        uniqueKeysWithValues: (0..<8).map {
          (
            "down_blocks.2.attentions.0.transformer_blocks.\($0)",
            "down_blocks.2.attentions.0.transformer_blocks.\($0 + 2)"
          )
        } + [
          (
            "up_blocks.1.attentions.2.transformer_blocks.0",
            "up_blocks.1.attentions.2.transformer_blocks.1"
          )
        ])),
  ]

  @Test func everyRecipeHasACase() {
    #expect(Self.recipes.map(\.recipe) == StripPlan.recipes.map(\.name))
  }

  @Test(arguments: recipes + drops)
  func everyTensorEqualsItsSource(_ strip: Case) throws {
    let teacher = try strip.isExtraLarge ? threeLevels() : miniature()
    let plan =
      try strip.recipe.isEmpty
      ? StripPlan(dropping: strip.drops, for: teacher)
      : StripPlan(recipe: strip.recipe, for: teacher)
    let source = weights(for: teacher)
    let stripped = plan.weights(from: source)
    #expect(stripped.names == plan.student.modules.tensors.map(\.name))
    #expect(stripped.names.count < source.names.count)
    var used: Set<String> = []
    for tensor in plan.student.modules.tensors {
      let block = strip.renamed.keys.first { tensor.name.hasPrefix($0 + ".") }
      let expected =
        block.map { (strip.renamed[$0] ?? "") + tensor.name.dropFirst($0.count) } ?? tensor.name
      let found = try stripped.tensor(tensor.name)
      let original = try source.tensor(expected)
      #expect(found.shape == tensor.shape)
      #expect(found.encoding == original.encoding)
      if strip.zeroed.contains(tensor.name) {
        #expect(found.floats().allSatisfy { $0 == 0 }, "\(tensor.name)")
      } else {
        #expect(
          found.parts.map(\.array) == original.parts.map(\.array),
          "\(tensor.name) is not \(expected)")
      }
      used.insert(expected)
    }
    // The ledger lists exactly the zeroed tensors, and no tensor of the teacher is used twice.
    #expect(Set(plan.ledger.zeroed.map(\.tensor)) == strip.zeroed)
    #expect(used.count == stripped.names.count)
    // Every other tensor of the teacher belongs to a removed block, which lists its size.
    let lost = source.names.filter { !used.contains($0) }
    for block in plan.ledger.removed {
      let own = lost.filter { $0.hasPrefix(block.block + ".") }
      #expect(!own.isEmpty, "\(block.block)")
    }
    let unlisted = lost.filter { name in
      !plan.ledger.removed.contains { name.hasPrefix($0.block + ".") }
    }
    #expect(unlisted == [])
    let parameters = lost.reduce(0) { $0 + (source.entry($1)?.shape.count ?? 0) }
    #expect(plan.ledger.removedParameters == parameters)
  }
}
