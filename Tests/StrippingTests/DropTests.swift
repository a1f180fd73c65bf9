import ModelSources
import Models
import Stripping
import Support
import Tensors
import TestSupport
import Testing

struct DropTests {
  private func plan(_ drops: [String], of teacher: UNetConfig) throws -> StripPlan {
    try StripPlan(dropping: drops, for: teacher)
  }

  private func removed(_ plan: StripPlan) -> [String] { plan.ledger.removed.map(\.block) }

  @Test func aResnetOfADownLevelDropsItsMirror() throws {
    let plan = try plan(["down_blocks.1.resnets.1"], of: try miniature())
    #expect(
      removed(plan) == [
        "down_blocks.1.resnets.1", "down_blocks.1.attentions.1",
        "up_blocks.2.resnets.1", "up_blocks.2.attentions.1",
      ])
    #expect(
      plan.ledger.removed.map(\.cause) == [
        "requested", "paired with down_blocks.1.resnets.1",
        "mirrors down_blocks.1.resnets.1", "paired with up_blocks.2.resnets.1",
      ])
    #expect(plan.ledger.mirrored == ["up_blocks.2.resnets.1"])
    #expect(plan.student.json["layers_per_block"] == [2, 1, 2, 2])
    #expect(plan.student.upTransformerLayers == [[], [1, 1, 1], [1, 1], [1, 1, 1]])
  }

  @Test func aResnetOfAnUpLevelDropsItsMirror() throws {
    let plan = try plan(["up_blocks.0.resnets.1"], of: try miniature())
    #expect(removed(plan) == ["down_blocks.3.resnets.1", "up_blocks.0.resnets.1"])
    #expect(plan.ledger.mirrored == ["down_blocks.3.resnets.1"])
    #expect(plan.student.json["layers_per_block"] == [2, 2, 2, 1])
  }

  @Test func namingBothSidesAddsNothing() throws {
    let plan = try plan(
      ["down_blocks.2.resnets.1", "up_blocks.1.resnets.1", "up_blocks.1.attentions.1"],
      of: try miniature())
    #expect(plan.ledger.mirrored == [])
    #expect(
      removed(plan) == [
        "down_blocks.2.resnets.1", "down_blocks.2.attentions.1",
        "up_blocks.1.resnets.1", "up_blocks.1.attentions.1",
      ])
    #expect(plan.student.json["layers_per_block"] == [2, 2, 1, 2])
  }

  /// All resnets of the first up level read equal channels, so the first can be dropped.
  @Test func theFirstResnetCanBeDroppedWhereChannelsAreEqual() throws {
    let plan = try plan(["up_blocks.0.resnets.0"], of: try miniature())
    #expect(
      plan.ledger.renamed.map(\.teacher) == ["up_blocks.0.resnets.1", "up_blocks.0.resnets.2"])
  }

  @Test func aLevelMayLoseAllItsLayers() throws {
    let plan = try plan(["down_blocks.3.resnets"], of: try miniature())
    #expect(plan.student.json["layers_per_block"] == [2, 2, 2, 0])
    #expect(
      removed(plan) == [
        "down_blocks.3.resnets.0", "down_blocks.3.resnets.1",
        "up_blocks.0.resnets.0", "up_blocks.0.resnets.1",
      ])
    #expect(plan.student.modules.contains { $0.name == "up_blocks.0.resnets.0.conv1" })
  }

  @Test func aSingleAttentionBecomesAnIdentity() throws {
    let teacher = try miniature()
    let plan = try plan(["up_blocks.2.attentions.1"], of: teacher)
    #expect(removed(plan) == ["up_blocks.2.attentions.1"])
    let name = "up_blocks.2.attentions.1.proj_out"
    #expect(plan.ledger.zeroed.map(\.tensor) == ["\(name).weight", "\(name).bias"])
    #expect(plan.ledger.zeroed.map(\.parameters) == [64 * 64, 64])
    #expect(plan.student.json["transformer_layers_per_block"] == nil)
    #expect(plan.student.json["reverse_transformer_layers_per_block"] == [1, 1, [1, 0, 1], 1])
    #expect(plan.student.json["up_block_types"] == teacher.json["up_block_types"])

    let source = plan.weights(from: weights(for: teacher))
    #expect(try source.tensor("\(name).weight").floats().allSatisfy { $0 == 0 })
    #expect(try source.tensor("\(name).bias").floats().allSatisfy { $0 == 0 })
    let kept = "up_blocks.2.attentions.1.proj_in.weight"
    #expect(try source.tensor(kept).floats() == weights(for: teacher).tensor(kept).floats())
  }

  @Test func attentionsOfADownLevelNestTheDepths() throws {
    let plan = try plan(["down_blocks.1.attentions.0"], of: try miniature())
    #expect(plan.student.json["transformer_layers_per_block"] == [1, [0, 1], 1, 1])
    #expect(plan.student.json["reverse_transformer_layers_per_block"] == [1, 1, 1, 1])
  }

  @Test func droppingAllAttentionsOfALevelChangesItsType() throws {
    let plan = try plan(
      ["down_blocks.1.attentions", "up_blocks.3.attentions.*"], of: try miniature())
    #expect(
      plan.student.json["down_block_types"]
        == ["CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"])
    #expect(
      plan.student.json["up_block_types"]
        == ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"])
    #expect(plan.ledger.zeroed == [])
    #expect(
      removed(plan) == [
        "down_blocks.1.attentions.0", "down_blocks.1.attentions.1",
        "up_blocks.3.attentions.0", "up_blocks.3.attentions.1", "up_blocks.3.attentions.2",
      ])
    #expect(plan.student.json["transformer_layers_per_block"] == nil)
  }

  /// Dropping a transformer block keeps the projections around it.
  @Test func aTransformerBlockIsDroppedAlone() throws {
    let plan = try plan(["down_blocks.2.attentions.1.transformer_blocks.3"], of: try threeLevels())
    #expect(removed(plan) == ["down_blocks.2.attentions.1.transformer_blocks.3"])
    #expect(plan.ledger.zeroed == [])
    #expect(plan.student.json["transformer_layers_per_block"] == [1, 2, [10, 9]])
    let list = "down_blocks.2.attentions.1.transformer_blocks"
    #expect(plan.ledger.renamed.map(\.student) == (3..<9).map { "\(list).\($0)" })
    #expect(plan.ledger.renamed.map(\.teacher) == (4..<10).map { "\(list).\($0)" })
  }

  @Test func midBlock() throws {
    let plan = try plan(["mid_block"], of: try miniature())
    #expect(plan.student.json["mid_block_type"] == .null)
    #expect(plan.student.midBlockType == nil)
    #expect(removed(plan) == ["mid_block"])
  }

  @Test func theMidBlockAttentionBecomesAnIdentity() throws {
    let plan = try plan(["mid_block.attentions.0"], of: try miniature())
    #expect(plan.student.json["mid_block_type"] == "UNetMidBlock2DCrossAttn")
    #expect(plan.student.json["transformer_layers_per_block"] == [1, 1, 1, 0])
    #expect(plan.student.json["reverse_transformer_layers_per_block"] == nil)
    #expect(
      plan.ledger.zeroed.map(\.tensor) == [
        "mid_block.attentions.0.proj_out.weight", "mid_block.attentions.0.proj_out.bias",
      ])
  }

  @Test(arguments: [0, 1])
  func midBlockOfOneResnet(_ dropped: Int) throws {
    let plan = try plan(
      ["mid_block.attentions.0", "mid_block.resnets.\(dropped)"], of: try miniature())
    #expect(plan.student.json["mid_block_type"] == "UNetMidBlock2D")
    #expect(plan.ledger.zeroed == [])
    #expect(plan.ledger.renamed.map(\.student) == (dropped == 0 ? ["mid_block.resnets.0"] : []))
    #expect(plan.ledger.renamed.map(\.teacher) == (dropped == 0 ? ["mid_block.resnets.1"] : []))
  }

  @Test func everyPartOfTheMidBlockIsTheMidBlock() throws {
    let plan = try plan(["mid_block.attentions.0", "mid_block.resnets"], of: try miniature())
    #expect(plan.student.json["mid_block_type"] == .null)
  }

  @Test func theInnermostLevelDropsItsMirror() throws {
    let plan = try plan(["up_blocks.0", "mid_block"], of: try miniature())
    #expect(
      removed(plan) == [
        "down_blocks.2.downsamplers.0", "down_blocks.3", "mid_block", "up_blocks.0",
      ])
    #expect(plan.student.json["block_out_channels"] == [32, 64, 96])
    #expect(plan.student.json["layers_per_block"] == 2)
  }

  @Test func absentMidBlockTypeIsWritten() throws {
    let plan = try plan(["down_blocks.0.resnets.1"], of: try miniature())
    #expect(plan.student.json["mid_block_type"] == "UNetMidBlock2DCrossAttn")
    let change = try #require(plan.ledger.changes.first { $0.field == "mid_block_type" })
    #expect(change.before == nil)
  }

  /// Drops that meet in one level, in its mirror, or in one attention.
  static let overlapping = [
    "down_blocks.1.resnets.1", "down_blocks.1.attentions.0", "up_blocks.2.attentions.1",
    "up_blocks.2.attentions", "up_blocks.*.resnets.1", "mid_block.attentions.0", "mid_block",
    "down_blocks.2.attentions.0.transformer_blocks.0",
  ]

  /// Three drops give one plan in any order, and remove at least what each of them removes alone.
  @Test(arguments: overlapping.indices)
  func threeDropsAreOrderedByTheTeacher(first: Int) throws {
    let teacher = try miniature()
    let names = Set(teacher.modules.tensors.map(\.name))
    func lost(_ plan: StripPlan) -> Set<String> {
      names.subtracting(plan.origins.map(\.teacher))
    }
    let alone = try Self.overlapping.map { lost(try plan([$0], of: teacher)) }
    for second in Self.overlapping.indices where second > first {
      for third in Self.overlapping.indices where third > second {
        let drops = [first, second, third].map { Self.overlapping[$0] }
        let plan = try plan(drops, of: teacher)
        for other in [[1, 2, 0], [2, 1, 0]] {
          let turned = try self.plan(other.map { drops[$0] }, of: teacher)
          #expect(turned.origins == plan.origins, "\(drops)")
          #expect(turned.student.json == plan.student.json, "\(drops)")
          #expect(removed(turned) == removed(plan), "\(drops)")
        }
        let missing = [first, second, third].reduce(Set()) { $0.union(alone[$1]) }
          .subtracting(lost(plan))
        #expect(missing == [], "\(drops)")
        // Each lost tensor belongs to one of the removed blocks.
        let blocks = removed(plan)
        let unlisted = lost(plan).filter { name in
          !blocks.contains { name.hasPrefix($0 + ".") }
        }
        #expect(unlisted == [], "\(drops)")
      }
    }
  }

  /// For every single drop on every topology: the ledger's counts add up, and the plan fills the
  /// student's module list.
  @Test(arguments: [0, 1, 2, 3])
  func theCountsOfEverySingleDropAddUp(_ topology: Int) throws {
    let teacher =
      switch topology {
      case 0: try miniature()
      case 1: try threeLevels()
      case 2:
        try miniature(["layers_per_block": [1, 2, 3, 1], "mid_block_type": "UNetMidBlock2D"])
      default: try miniature(["layers_per_block": 1, "mid_block_type": nil])
      }
    let names = teacher.modules.map(\.name)
    var blocks: Set<String> = []
    for name in names {
      let parts = name.split(separator: ".")
      for count in 1...parts.count { blocks.insert(parts.prefix(count).joined(separator: ".")) }
    }
    let source = weights(for: teacher)
    var planned = 0
    for block in blocks.sorted() {
      guard let plan = try? plan([block], of: teacher) else { continue }
      planned += 1
      let ledger = plan.ledger
      #expect(ledger.teacher.parameters == ledger.student.parameters + ledger.removedParameters)
      #expect(
        ledger.teacher.tensors
          == ledger.student.tensors + ledger.removed.reduce(0) { $0 + $1.tensors })
      #expect(ledger.removed.allSatisfy { !$0.cause.isEmpty }, "\(block)")
      let stripped = plan.weights(from: source)
      #expect(stripped.names == plan.student.modules.tensors.map(\.name))
      for tensor in plan.student.modules.tensors {
        #expect(stripped.entry(tensor.name)?.shape == tensor.shape, "\(block): \(tensor.name)")
      }
      #expect(Set(plan.origins.map(\.teacher)).count == plan.origins.count)
    }
    #expect(planned > 15)
  }
}
