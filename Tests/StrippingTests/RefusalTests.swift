import ModelSources
import Models
import Stripping
import Support
import Testing

struct RefusalTests {
  private func sentence(_ drops: [String], of teacher: UNetConfig) throws -> String {
    let error = try #require(throws: StripError.self) {
      _ = try StripPlan(dropping: drops, for: teacher)
    }
    return error.description
  }

  @Test(arguments: [
    ([], "nothing to strip: name a recipe or at least one block to drop"),
    (
      ["down_blocks.1.resnet.1"],
      "the U-Net has no block 'down_blocks.1.resnet.1'; did you mean down_blocks.1.resnets.1 or "
        + "down_blocks.0.resnets.1?"
    ),
    (["tail"], "the U-Net has no block 'tail'"),
    (
      ["down_blocks.0.downsamplers.0"],
      "'down_blocks.0.downsamplers.0' cannot be dropped: without it the levels beside it would "
        + "differ in resolution; it goes with the innermost level (down_blocks.N)"
    ),
    (["conv_in"], "'conv_in' cannot be dropped: every U-Net of diffusers has it"),
    (
      ["down_blocks.0.resnets.0.conv1"],
      "'down_blocks.0.resnets.0.conv1' cannot be dropped: it is part of a block; drop the whole "
        + "resnet, attention or transformer block"
    ),
    (
      ["down_blocks.1"],
      "'down_blocks.1' cannot be dropped: the levels around it read its channels, and only the "
        + "innermost level, down_blocks.3, can go"
    ),
    (
      ["down_blocks.1.resnets.0"],
      "what is left does not fit together: down_blocks.1.resnets.1 reads 64 channels and would be "
        + "given 32; drop another block of its level instead"
    ),
    (
      ["up_blocks.2.resnets.0"],
      "what is left does not fit together: up_blocks.2.resnets.1 reads 64 + 64 channels and would "
        + "be given 96 + 64; drop another block of its level instead"
    ),
    (
      ["mid_block.resnets.1"],
      "'mid_block.resnets.1' cannot be dropped alone, because diffusers has no such mid block: "
        + "drop 'mid_block.attentions.0' as well"
    ),
    (
      ["down_blocks.1.resnets", "up_blocks.2.resnets.1", "up_blocks.2.resnets.2"],
      "what is left does not fit together: down_blocks.1.downsamplers.0 reads 64 channels and "
        + "would be given 32; drop another block of its level instead"
    ),
  ])
  func drops(_ drops: [String], _ expected: String) throws {
    #expect(try sentence(drops, of: try miniature()) == "teacher/unet/config.json: " + expected)
  }

  /// Each level of a one-level U-Net is the only one.
  @Test func lastLevel() throws {
    let teacher = try unet([
      "block_out_channels": [32], "down_block_types": ["DownBlock2D"],
      "up_block_types": ["UpBlock2D"], "norm_num_groups": 4, "attention_head_dim": 4,
    ])
    #expect(
      try sentence(["down_blocks.0"], of: teacher)
        == "teacher/unet/config.json: 'down_blocks.0' cannot be dropped: it is the only level that "
        + "would be left")
  }

  /// With one layer a level there is nothing in the mirror that could go.
  @Test func noMirror() throws {
    let teacher = try miniature(["layers_per_block": 1])
    #expect(
      try sentence(["up_blocks.2.resnets.1"], of: teacher)
        == "teacher/unet/config.json: 'up_blocks.2.resnets.1' cannot be dropped: its mirrored "
        + "level down_blocks.1 must lose a layer too, and each that it has reads channels that "
        + "only it can read")
  }

  /// SDXL's mid block shares one depth with the first attention of the last level.
  @Test func tiedDepth() throws {
    #expect(
      try sentence(["mid_block.attentions.0"], of: try threeLevels())
        == "teacher/unet/config.json: mid_block.attentions.0 would keep 0 transformer blocks and "
        + "down_blocks.2.attentions.0 10, but a diffusers config gives both one depth: drop as "
        + "many of the other, or the whole mid block")
  }

  /// The innermost level's mid block would be run with the next level's heads.
  @Test func headsThatWouldChange() throws {
    let teacher = try miniature(["attention_head_dim": [2, 4, 6, 3]])
    #expect(
      try sentence(["down_blocks.3"], of: teacher)
        == "teacher/unet/config.json: 'down_blocks.3' cannot be dropped: the mid block would take "
        + "over the 6 heads of down_blocks.2 for its 3; drop mid_block as well")
  }

  @Test func aTensorOfAnotherModel() throws {
    let teacher = try miniature()
    let plan = try StripPlan(recipe: "bk-sdm-base", for: teacher)
    let stripped = plan.weights(from: weights(for: teacher))
    #expect(throws: WeightError.self) {
      _ = try stripped.tensor("up_blocks.1.resnets.2.conv1.bias")
    }
    #expect(stripped.entry("up_blocks.1.resnets.2.conv1.bias") == nil)
  }
}
