import ModelSources
import Models
import Support
import Tensors
import Testing

@Suite struct UNetConfigTests {
  private func config(_ edit: (inout JSONObject) -> Void = { _ in }) throws -> UNetConfig {
    var json = MiniModel.unet
    edit(&json)
    return try UNetConfig(json: json, location: "unet/config.json")
  }

  @Test func emptyConfigTakesDefaults() throws {
    let config = try UNetConfig(json: [:], location: "")
    #expect(config.blockOutChannels == [320, 640, 1280, 1280])
    #expect(config.layersPerBlock == [2, 2, 2, 2])
    #expect(config.attentionHeads == [8, 8, 8, 8])
    #expect(config.crossAttentionDim == [1280, 1280, 1280, 1280])
    #expect(config.midBlockType == .crossAttention)
    #expect(config.sampleSize == nil)
    #expect(config.normEps == 1e-5)
    #expect(config.timeEmbeddingDim == 1280)
    #expect(config.flipSinToCos)
    #expect(config.downsamplingFactor == 8)
    #expect(config.inChannels == 4 && config.outChannels == 4)
    #expect(!config.centerInputSample)
    #expect(config.freqShift == 0)
    #expect(
      config.downBlockTypes == [.crossAttention, .crossAttention, .crossAttention, .plain])
    #expect(config.upBlockTypes == [.plain, .crossAttention, .crossAttention, .crossAttention])
    #expect(config.downsamplePadding == 1)
    #expect(config.midBlockScaleFactor == 1)
    #expect(config.normNumGroups == 32)
    #expect(config.onlyCrossAttention == [false, false, false, false])
    #expect(config.downTransformerLayers == [[1, 1], [1, 1], [1, 1], []])
    #expect(config.midTransformerLayers == 1)
    #expect(config.upTransformerLayers == [[], [1, 1, 1], [1, 1, 1], [1, 1, 1]])
    #expect(!config.useLinearProjection && !config.upcastAttention)
    #expect(config.timeCondProjDim == nil && config.additionEmbedding == nil)
    #expect(config.convInKernel == 3 && config.convOutKernel == 3)
  }

  /// Each field with an unusual value reaches the module tree.
  @Test func unusualValuesShapeTheTree() throws {
    let config = try config {
      $0["in_channels"] = 9
      $0["out_channels"] = 8
      $0["center_input_sample"] = true
      $0["flip_sin_to_cos"] = false
      $0["freq_shift"] = 1
      $0["downsample_padding"] = 0
      $0["mid_block_scale_factor"] = 2
      $0["norm_eps"] = 0.125
      $0["use_linear_projection"] = true
      $0["upcast_attention"] = true
      $0["time_embedding_dim"] = 48
      $0["time_cond_proj_dim"] = 12
      $0["conv_in_kernel"] = 1
      $0["conv_out_kernel"] = 5
      $0["sample_size"] = [8, 16]
      $0["addition_embed_type"] = "text_time"
      $0["addition_time_embed_dim"] = 6
      $0["projection_class_embeddings_input_dim"] = 40
    }
    #expect(config.sampleSize == ImageSize(width: 16, height: 8))
    #expect(config.upcastAttention)
    let tree = UNetSpec(config)
    #expect(tree.convIn.module.weight.shape == [16, 9, 1, 1])
    #expect(tree.convIn.window.paddingBefore == 0)
    #expect(tree.convOut.module.weight.shape == [8, 16, 5, 5])
    #expect(tree.convOut.window.paddingAfter == 2)
    #expect(tree.centerInputSample)
    #expect(!tree.timeSines.flipSinToCos && tree.timeSines.freqShift == 1)
    #expect(tree.timeEmbedding.linear1.module.weight.shape == [48, 16])
    #expect(tree.timeEmbedding.conditionProjection?.module.weight.shape == [16, 12])
    #expect(tree.addedEmbedding?.sines.width == 6)
    #expect(tree.addedEmbedding?.embedding.linear1.module.weight.shape == [48, 40])
    let down = tree.downBlocks[0]
    #expect(down.downsampler?.conv.window.paddingBefore == 0)
    #expect(down.downsampler?.conv.window.paddingAfter == 1)
    #expect(down.resnets[0].norm1.epsilon == 0.125)
    #expect(down.resnets[0].timeProjection?.module.weight.shape == [16, 48])
    #expect(down.attentions[0].norm.epsilon == 1e-6)
    guard case .linear(let projection) = down.attentions[0].projectIn else {
      Issue.record("\(down.attentions[0].projectIn)")
      return
    }
    #expect(projection.module.weight.shape == [16, 16])
    #expect(down.resnets[0].outputScale == 1)
    #expect(tree.midBlock?.resnets.map(\.outputScale) == [2, 2])
    #expect(tree.convNormOut.epsilon == 0.125)
  }

  /// Fields of `UNet2DConditionModel` that only training or other blocks read.
  @Test(
    arguments: [
      ("dropout", 0.5), ("resnet_skip_time_act", true), ("resnet_out_scale_factor", 2),
      ("mid_block_only_cross_attention", true), ("cross_attention_norm", "layer_norm"),
      ("addition_embed_type_num_heads", 32), ("addition_time_embed_dim", 6),
      ("projection_class_embeddings_input_dim", 40),
    ] as [(String, JSONValue)])
  func fieldsOfOtherBlocksHaveNoEffect(field: String, value: JSONValue) throws {
    #expect(UNetSpec(try config { $0[field] = value }) == UNetSpec(try config()))
  }

  @Test func absentMidBlockIsNotNullMidBlock() throws {
    #expect(try config().midBlockType == .crossAttention)
    #expect(try config { $0["mid_block_type"] = .null }.midBlockType == nil)
    #expect(try config { $0["mid_block_type"] = "UNetMidBlock2D" }.midBlockType == .plain)
    let modules = try config { $0["mid_block_type"] = .null }.modules
    #expect(!modules.contains { $0.name.hasPrefix("mid_block") })
  }

  @Test func listsStandForLevels() throws {
    let config = try config {
      $0["layers_per_block"] = [2, 1]
      $0["attention_head_dim"] = [4, 2]
      $0["only_cross_attention"] = [true, false]
      $0["transformer_layers_per_block"] = [3, 2]
    }
    #expect(config.layersPerBlock == [2, 1])
    #expect(config.attentionHeads == [4, 2])
    #expect(config.onlyCrossAttention == [true, false])
    #expect(config.downTransformerLayers == [[3, 3], []])
    #expect(config.upTransformerLayers == [[], [3, 3, 3]])
    #expect(config.midTransformerLayers == 2)
  }

  @Test func nestedListsNameAttentions() throws {
    let config = try config {
      $0["layers_per_block"] = 2
      $0["transformer_layers_per_block"] = [[1, 0], [2]]
      $0["reverse_transformer_layers_per_block"] = [1, [4, 0, 1]]
    }
    #expect(config.downTransformerLayers == [[1, 0], []])
    #expect(config.upTransformerLayers == [[], [4, 0, 1]])
    #expect(config.midTransformerLayers == 2)
    let blocks = UNetSpec(config).upBlocks[1].attentions.map(\.blocks.count)
    #expect(blocks == [4, 0, 1])
  }

  @Test func rolesMarkSpecialLayers() throws {
    let modules = try config().modules
    func role(_ name: String) -> ModuleSpec.Role? { modules.first { $0.name == name }?.role }
    #expect(role("conv_in") == .firstConvolution)
    #expect(role("conv_out") == .lastConvolution)
    #expect(role("time_embedding.linear_2") == .timeEmbedding)
    #expect(role("down_blocks.0.resnets.0.time_emb_proj") == .timeProjection)
    #expect(role("down_blocks.0.attentions.0.proj_in") == .convolution)
    #expect(role("mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj") == .linear)
    #expect(role("up_blocks.1.resnets.0.conv_shortcut") == .convolution)
    #expect(role("conv_norm_out") == .norm)
    let attention = modules.first { $0.name.hasSuffix("attn2.to_k") }
    #expect(attention?.weight.shape == [16, 24])
    #expect(attention?.bias == nil)
    #expect(attention?.block == "down_blocks.0.attentions.0")
  }

  /// A field, an invalid value, and the message.
  static let refusals: [(String, JSONValue, String)] = [
    ("_class_name", "UNet2DModel", "is \"UNet2DModel\", expected \"UNet2DConditionModel\""),
    ("act_fn", "mish", "is \"mish\", expected \"silu\" or \"swish\""),
    ("resnet_time_scale_shift", "scale_shift", "is \"scale_shift\", expected \"default\""),
    ("time_embedding_type", "fourier", "is \"fourier\", expected \"positional\""),
    ("attention_type", "gated", "is \"gated\", expected \"default\""),
    ("dual_cross_attention", true, "is true, expected false or null"),
    ("class_embeddings_concat", true, "is true, expected false or null"),
    ("num_attention_heads", 8, "is 8, expected null"),
    ("class_embed_type", "timestep", "is \"timestep\", expected null"),
    ("num_class_embeds", 10, "is 10, expected null"),
    ("encoder_hid_dim", 768, "is 768, expected null"),
    ("encoder_hid_dim_type", "text_proj", "is \"text_proj\", expected null"),
    ("time_embedding_act_fn", "silu", "is \"silu\", expected null"),
    ("timestep_post_act", "silu", "is \"silu\", expected null"),
    (
      "down_block_types", ["AttnDownBlock2D", "DownBlock2D"],
      "expected a list of 1 to 16 of \"CrossAttnDownBlock2D\", \"DownBlock2D\""
    ),
    ("down_block_types", [], "expected a list of 1 to 16 of"),
    ("up_block_types", ["UpBlock2D"], "expected 2 blocks, as many as in 'down_block_types'"),
    ("block_out_channels", [16], "expected 2 numbers, one per level"),
    ("block_out_channels", 16, "expected a list of at most 16 whole numbers"),
    ("block_out_channels", [16, 0], "expected a whole number from 1 to 1048576"),
    ("mid_block_type", "UNetMidBlock2DSimpleCrossAttn", "\"UNetMidBlock2D\" or null"),
    ("mid_block_type", 3, "is 3, expected"),
    ("layers_per_block", [1], "expected 2 numbers, one per level"),
    ("layers_per_block", 1_000_000, "expected a whole number from 0 to 256"),
    ("layers_per_block", [1, 0], "expected at least 1 at level 1, where the width changes to 32"),
    ("layers_per_block", .null, "is null, expected a whole number"),
    ("attention_head_dim", 3, "numbers of heads that divide level 0's 16 channels"),
    ("attention_head_dim", .null, "is null, expected a whole number"),
    ("cross_attention_dim", [24, 32], "the same width at every level with attention"),
    ("norm_num_groups", .null, "is null, expected a whole number"),
    ("norm_num_groups", 5, "is 5, expected a divisor of level 0's 16 channels"),
    ("norm_eps", "small", "expected a number"),
    ("norm_eps", 0, "is 0, expected a number above 0"),
    ("mid_block_scale_factor", -1, "expected a number above 0"),
    ("downsample_padding", 2, "expected a whole number from 0 to 1"),
    ("only_cross_attention", [true], "expected true, false, or a list of 2 of them"),
    ("use_linear_projection", "yes", "expected true or false"),
    ("conv_in_kernel", 2, "is 2, expected an odd number"),
    ("conv_in_kernel", 9, "is 9, expected a whole number from 1 to 7"),
    ("conv_out_kernel", 15, "is 15, expected a whole number from 1 to 7"),
    ("sample_size", [1, 2, 3], "expected a whole number, or a list of height and width"),
    ("transformer_layers_per_block", [1], "expected a number, or a list of 2, one per level"),
    ("transformer_layers_per_block", -1, "expected a whole number from 0 to 256"),
    ("reverse_transformer_layers_per_block", [1], "expected a list of 2, one per up block"),
    (
      "reverse_transformer_layers_per_block", [1, [1]],
      "expected 2 numbers for a level's attentions"
    ),
    ("addition_embed_type", "text", "is \"text\", expected null or \"text_time\""),
  ]

  @Test(arguments: refusals)
  func refuses(field: String, value: JSONValue, message: String) throws {
    let error = try #require(throws: ConfigError.self) {
      _ = try config { $0[field] = value }
    }
    #expect(error.field == field)
    #expect(error.description.hasPrefix("unet/config.json: '\(field)' is "))
    #expect(error.description.contains(message), "\(error)")
  }

  /// The module list is made before any weight is read, so the number of blocks is limited.
  @Test func refusesTooManyTransformerBlocks() throws {
    let error = try #require(throws: ConfigError.self) {
      _ = try config {
        $0["layers_per_block"] = 256
        $0["transformer_layers_per_block"] = 256
      }
    }
    // 256 attentions down, one in the mid block, 257 up, each of 256 transformer blocks.
    #expect(
      error.description
        == "unet/config.json: 'transformer_layers_per_block' is 256, expected at most 4096 "
        + "transformer blocks in all, not 131584")
  }

  @Test func nestedListsNeedTheReversedField() throws {
    let error = try #require(throws: ConfigError.self) {
      _ = try config { $0["transformer_layers_per_block"] = [[1], 1] }
    }
    #expect(
      error.description
        == "unet/config.json: 'reverse_transformer_layers_per_block' is absent, expected a list, "
        + "because 'transformer_layers_per_block' contains nested lists")
  }

  @Test(arguments: ["addition_time_embed_dim", "projection_class_embeddings_input_dim"])
  func textTimeNeedsWidths(field: String) throws {
    let error = try #require(throws: ConfigError.self) {
      _ = try config {
        $0["addition_embed_type"] = "text_time"
        $0["addition_time_embed_dim"] = 8
        $0["projection_class_embeddings_input_dim"] = 40
        $0[field] = nil
      }
    }
    #expect(error.description.hasSuffix("'\(field)' is absent, expected a width for \"text_time\""))
  }
}
