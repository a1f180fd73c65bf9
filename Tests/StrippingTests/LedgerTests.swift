import Stripping
import Support
import Testing

struct LedgerTests {
  /// The members that `Formats/recipes.md` lists. Absent fields differ from null fields.
  @Test func json() throws {
    let plan = try StripPlan(dropping: ["mid_block"], for: try miniature())
    let json = plan.ledger.json
    #expect(
      json.keys == [
        "recipe", "drops", "mirrored", "teacher", "student", "removed", "renamed", "zeroed",
        "config",
      ])
    #expect(json["recipe"] == .null)
    #expect(json["drops"] == ["mid_block"])
    #expect(json["mirrored"] == [])
    #expect(json["teacher"] == ["tensors": 686, "parameters": 5_473_188])
    #expect(json["student"] == ["tensors": 640, "parameters": 4_921_476])
    #expect(
      json["removed"] == [
        ["block": "mid_block", "cause": "requested", "tensors": 46, "parameters": 551_712]
      ])
    #expect(json["renamed"] == [])
    #expect(json["zeroed"] == [])
    #expect(json["config"] == [["field": "mid_block_type", "after": nil]])
  }

  @Test func renamedAndZeroed() throws {
    let plan = try StripPlan(
      dropping: ["down_blocks.3.resnets.0", "mid_block.attentions.0"], for: try miniature())
    let json = plan.ledger.json
    #expect(json["mirrored"] == ["up_blocks.0.resnets.1"])
    #expect(
      json["renamed"] == [
        ["student": "down_blocks.3.resnets.0", "teacher": "down_blocks.3.resnets.1"],
        ["student": "up_blocks.0.resnets.1", "teacher": "up_blocks.0.resnets.2"],
      ])
    #expect(
      json["zeroed"] == [
        ["tensor": "mid_block.attentions.0.proj_out.weight", "parameters": 9216],
        ["tensor": "mid_block.attentions.0.proj_out.bias", "parameters": 96],
      ])
  }
}
