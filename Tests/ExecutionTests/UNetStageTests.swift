import Execution
import Models
import Testing

/// The stages of the U-Nets of Stable Diffusion 1 and SDXL.
@Suite struct UNetStageTests {
  private static func spec(_ family: String) throws -> UNetSpec {
    let family = try #require(Family.named(family))
    let template = try #require(family.template)
    return UNetSpec(try template.configs(location: family.name).unet)
  }

  private static let stageCounts = ["sd-v1-4": 28, "sdxl-base-1.0": 21]

  @Test(
    arguments: [
      ("sd-v1-4", "conv_in", nil), ("sd-v1-4", "time_embedding.linear_2", nil),
      ("sd-v1-4", "down_blocks.0.resnets.0.conv1", 0),
      ("sd-v1-4", "down_blocks.0.resnets.1.time_emb_proj", 1),
      ("sd-v1-4", "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0", 1),
      ("sd-v1-4", "down_blocks.0.downsamplers.0.conv", 2),
      ("sd-v1-4", "down_blocks.2.attentions.0.proj_in", 6),
      ("sd-v1-4", "down_blocks.3.resnets.1.conv2", 10),
      ("sd-v1-4", "mid_block.resnets.0.conv1", 11),
      ("sd-v1-4", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q", 12),
      ("sd-v1-4", "mid_block.resnets.1.conv2", 12),
      ("sd-v1-4", "up_blocks.0.resnets.0.conv_shortcut", 13),
      ("sd-v1-4", "up_blocks.0.upsamplers.0.conv", 16),
      ("sd-v1-4", "up_blocks.1.attentions.2.proj_out", 19),
      ("sd-v1-4", "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.2", 27),
      ("sd-v1-4", "conv_norm_out", 28), ("sd-v1-4", "conv_out", 28),
      ("sd-v1-4", "down_blocks.3.downsamplers.0.conv", nil), ("sd-v1-4", "down_blocks", nil),
      ("sd-v1-4", "up_blocks.4.resnets.0.conv1", nil), ("sd-v1-4", "mid_block.resnets.x", nil),
      ("sd-v1-4", "down_blocks.3", 9), ("sd-v1-4", "mid_block", 11), ("sd-v1-4", "up_blocks.0", 13),
      ("sd-v1-4", "down_blocks.1.attentions.1", 4), ("sd-v1-4", "mid_block.attentions.0", 12),
      ("sd-v1-4", "down_blocks.1.downsamplers.0", 5), ("sd-v1-4", "up_blocks.4", nil),
      ("sdxl-base-1.0", "add_embedding.linear_1", nil),
      ("sdxl-base-1.0", "down_blocks.0.downsamplers.0.conv", 2),
      ("sdxl-base-1.0", "down_blocks.1.attentions.1.transformer_blocks.1.ff.net.0.proj", 4),
      ("sdxl-base-1.0", "down_blocks.2.resnets.1.conv1", 7),
      ("sdxl-base-1.0", "mid_block.attentions.0.transformer_blocks.9.attn2.to_k", 9),
      ("sdxl-base-1.0", "up_blocks.0.attentions.0.proj_in", 10),
      ("sdxl-base-1.0", "up_blocks.1.upsamplers.0.conv", 17),
      ("sdxl-base-1.0", "up_blocks.2.resnets.2.conv2", 20), ("sdxl-base-1.0", "conv_out", 21),
    ] as [(String, String, Int?)])
  func modulesRunInTheirStage(family: String, module: String, expected: Int?) throws {
    #expect(UNetStage.index(of: module, in: try Self.spec(family)) == expected)
  }

  /// Every stage runs modules, and only the first ones run before all stages.
  @Test(arguments: ["sd-v1-4", "sdxl-base-1.0"])
  func everyModuleHasAStage(family: String) throws {
    let spec = try Self.spec(family)
    let count = UNetStage.stages(of: spec).count
    #expect(count == Self.stageCounts[family])
    var seen: Set<Int> = []
    for module in spec.modules {
      let stage = UNetStage.index(of: module.name, in: spec)
      let isBefore = ["conv_in", "time_embedding", "add_embedding"].contains {
        module.name.hasPrefix($0)
      }
      #expect((stage == nil) == isBefore, "\(module.name)")
      seen.formUnion(stage.map { [$0] } ?? [])
    }
    #expect(seen == Set(0...count))
  }
}
