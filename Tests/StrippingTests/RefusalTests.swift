import ModelSources
import Models
import Stripping
import Support
import Testing

struct RefusalTests {
  private func error(_ drops: [String], of teacher: UNetConfig) throws -> StripError {
    try #require(throws: StripError.self) { _ = try StripPlan(dropping: drops, for: teacher) }
  }

  @Test(
    arguments: [
      (
        [], "nothing to strip: neither a recipe nor a block to drop was given",
        .either([.choose(.recipe), .choose(.drop)])
      ),
      (
        ["down_blocks.1.resnet.1"],
        "the U-Net has no block 'down_blocks.1.resnet.1'",
        .choose(.drop, ["down_blocks.1.resnets.1", "down_blocks.0.resnets.1"])
      ),
      (["tail"], "the U-Net has no block 'tail'", nil),
      (
        ["down_blocks.0.downsamplers.0"],
        "'down_blocks.0.downsamplers.0' cannot be dropped: without it the resolutions of adjacent "
          + "levels would not match; it is removed only with the innermost level (down_blocks.N)",
        nil
      ),
      (["conv_in"], "'conv_in' cannot be dropped: every diffusers U-Net has it", nil),
      (
        ["down_blocks.0.resnets.0.conv1"],
        "'down_blocks.0.resnets.0.conv1' cannot be dropped: it is part of a block, and only a whole "
          + "resnet, attention or transformer block can be dropped", nil
      ),
      (
        ["down_blocks.1"],
        "'down_blocks.1' cannot be dropped: other levels read its channels, and only the innermost "
          + "level, down_blocks.3, can be dropped", nil
      ),
      (
        ["down_blocks.1.resnets.0"],
        "the remaining blocks do not fit together: down_blocks.1.resnets.1 reads 64 channels, but "
          + "its input would have 32", .act("drop another block of its level instead")
      ),
      (
        ["up_blocks.2.resnets.0"],
        "the remaining blocks do not fit together: up_blocks.2.resnets.1 reads 64 + 64 channels, but "
          + "its input would have 96 + 64", .act("drop another block of its level instead")
      ),
      (
        ["mid_block.resnets.1"],
        "'mid_block.resnets.1' cannot be dropped alone: diffusers has no such mid block",
        .choose(.drop, ["mid_block.attentions.0"], purpose: "as well")
      ),
      (
        ["down_blocks.1.resnets", "up_blocks.2.resnets.1", "up_blocks.2.resnets.2"],
        "the remaining blocks do not fit together: down_blocks.1.downsamplers.0 reads 64 channels, "
          + "but its input would have 32", .act("drop another block of its level instead")
      ),
    ] as [([String], String, Remedy?)])
  func drops(_ drops: [String], _ expected: String, _ remedy: Remedy?) throws {
    let error = try error(drops, of: try miniature())
    #expect(error.description == "teacher/unet/config.json: " + expected)
    #expect(error.remedy == remedy)
  }

  /// A U-Net keeps at least one level.
  @Test func lastLevel() throws {
    let teacher = try unet([
      "block_out_channels": [32], "down_block_types": ["DownBlock2D"],
      "up_block_types": ["UpBlock2D"], "norm_num_groups": 4, "attention_head_dim": 4,
    ])
    #expect(
      try error(["down_blocks.0"], of: teacher).description
        == "teacher/unet/config.json: 'down_blocks.0' cannot be dropped: it is the only level left")
  }

  /// With one layer in each down level, no layer of the mirrored level can be removed.
  @Test func noMirror() throws {
    let teacher = try miniature(["layers_per_block": 1])
    #expect(
      try error(["up_blocks.2.resnets.1"], of: teacher).description
        == "teacher/unet/config.json: 'up_blocks.2.resnets.1' cannot be dropped: its mirrored "
        + "level down_blocks.1 must lose a layer too, but without any of its layers the channels "
        + "would not match")
  }

  /// SDXL's mid block shares one depth with the first attention of the last level.
  @Test func tiedDepth() throws {
    let error = try error(["mid_block.attentions.0"], of: try threeLevels())
    #expect(
      error.description
        == "teacher/unet/config.json: mid_block.attentions.0 would keep 0 transformer blocks and "
        + "down_blocks.2.attentions.0 10, but a diffusers config gives both the same depth")
    #expect(
      error.remedy == .act("drop the same number from both, or drop the whole mid block"))
  }

  /// Without the innermost level, the mid block would run with the heads of the next level.
  @Test func headsThatWouldChange() throws {
    let teacher = try miniature(["attention_head_dim": [2, 4, 6, 3]])
    let error = try error(["down_blocks.3"], of: teacher)
    #expect(
      error.description
        == "teacher/unet/config.json: 'down_blocks.3' cannot be dropped: the mid block would run "
        + "with the 6 heads of down_blocks.2 instead of its own 3")
    #expect(error.remedy == .choose(.drop, ["mid_block"], purpose: "as well"))
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
