import Models
import Stripping
import Testing

/// The units that a U-Net can lose alone.
@Suite struct StripUnitTests {
  private static func units(_ teacher: UNetConfig) -> [String: StripUnit] {
    Dictionary(uniqueKeysWithValues: StripUnit.all(of: teacher).map { ($0.name, $0) })
  }

  @Test func everyUnitIsAPlanOfItsOwn() throws {
    for teacher in [try miniature(), try threeLevels()] {
      let units = StripUnit.all(of: teacher)
      #expect(Set(units.map(\.name)).count == units.count)
      var removed: Set<Set<String>> = []
      for unit in units {
        let plan = try StripPlan(dropping: unit.drops, for: teacher)
        #expect(plan.ledger.removedParameters == unit.parameters && unit.parameters > 0)
        #expect(plan.ledger.mirrored.isEmpty || unit.drops.contains(plan.ledger.mirrored[0]))
        #expect(plan.ledger.removed.map(\.block) == unit.blocks)
        let student = Set(plan.origins.filter { !$0.isZeroed }.map(\.teacher))
        let isNew = removed.insert(student).inserted
        #expect(isNew, "\(unit.name)")
      }
    }
  }

  @Test func theUnitsOfStableDiffusion1() throws {
    let units = Self.units(try miniature())
    for (name, drops) in [
      // The up level loses a middle layer.
      ("down_blocks.1.resnets.1", ["down_blocks.1.resnets.1", "up_blocks.2.resnets.1"]),
      ("down_blocks.0.attentions.1", ["down_blocks.0.attentions.1"]),
      ("down_blocks.0.attentions", ["down_blocks.0.attentions"]),
      ("down_blocks.3", ["down_blocks.3", "up_blocks.0"]),
      ("mid_block", ["mid_block"]), ("mid_block.attentions.0", ["mid_block.attentions.0"]),
      (
        "mid_block.attentions.0, mid_block.resnets.1",
        ["mid_block.attentions.0", "mid_block.resnets.1"]
      ),
      (
        "down_blocks.3.resnets.0, down_blocks.3.resnets.1",
        [
          "down_blocks.3.resnets.0", "down_blocks.3.resnets.1", "up_blocks.0.resnets.1",
          "up_blocks.0.resnets.0",
        ]
      ),
    ] {
      let unit = try #require(units[name])
      #expect(Set(unit.drops) == Set(drops), "\(name): \(unit.drops)")
    }
    // The same as that of the down level.
    #expect(units["up_blocks.2.resnets.1"] == nil && units["up_blocks.0"] == nil)
    // Other levels need these.
    for name in ["down_blocks.0", "down_blocks.1.resnets.0", "mid_block.resnets.0"] {
      #expect(units[name] == nil)
    }
    // An attention of a single transformer block loses it with its projections.
    #expect(!units.keys.contains { $0.contains("transformer_blocks") })
  }

  /// The mid block has the depth of the innermost level's first attention, which loses blocks with it.
  @Test func transformerBlocksThatShareADepthAreOneUnit() throws {
    let units = Self.units(try threeLevels())
    let alone = "down_blocks.2.attentions.1.transformer_blocks.3"
    #expect(units[alone]?.drops == [alone])
    let inner = "down_blocks.2.attentions.0.transformer_blocks.3"
    let middle = "mid_block.attentions.0.transformer_blocks.3"
    #expect(units[inner] == nil && units[middle] == nil)
    #expect(units["\(inner), \(middle)"]?.drops == [inner, middle])
    #expect(units["down_blocks.2.attentions.0, mid_block.attentions.0"] != nil)
  }

  /// Units of one level keep what each of them loses.
  @Test func unitsCanBeJoined() throws {
    let teacher = try miniature()
    let units = Self.units(teacher)
    let first = try #require(units["down_blocks.3.resnets.0"])
    let second = try #require(units["up_blocks.0.resnets.0"])
    let plan = try StripPlan(
      dropping: Set(first.drops + second.drops).sorted(), for: teacher)
    let blocks = Set(plan.ledger.removed.map(\.block))
    #expect(blocks == Set(first.blocks + second.blocks))
    #expect(plan.ledger.removedParameters == first.parameters + second.parameters)
  }
}
