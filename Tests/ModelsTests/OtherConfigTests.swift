import Models
import Support
import Tensors
import Testing

@Suite struct TextEncoderConfigTests {
  @Test func emptyConfigTakesDefaults() throws {
    let config = try TextEncoderConfig(json: [:], location: "")
    #expect(config.vocabSize == 49408)
    #expect(config.hiddenSize == 512)
    #expect(config.activation == .quickGELU)
    #expect(config.eosTokenID == 49407)
    #expect(config.projectionDim == nil)
    #expect(config.intermediateSize == 2048)
    #expect(config.hiddenLayers == 12)
    #expect(config.attentionHeads == 8)
    #expect(config.maxPositionEmbeddings == 77)
    #expect(config.layerNormEps == 1e-5)
  }

  @Test func unusualValuesShapeTheTree() throws {
    var json = MiniModel.textEncoder
    json["hidden_act"] = "gelu"
    json["layer_norm_eps"] = 0.125
    json["max_position_embeddings"] = 9
    json["eos_token_id"] = 63
    json["architectures"] = ["CLIPTextModelWithProjection"]
    json["projection_dim"] = 10
    let tree = TextEncoderSpec(try TextEncoderConfig(json: json, location: ""))
    #expect(tree.activation == .gelu)
    #expect(tree.finalNorm.epsilon == 0.125 && tree.layers[0].norm2.epsilon == 0.125)
    #expect(tree.positionEmbedding.module.weight.shape == [9, 24])
    #expect(tree.eosTokenID == 63)
    #expect(tree.projection?.module.weight.shape == [10, 24])
    #expect(tree.layers.count == 2 && tree.heads == 2)
    #expect(tree.layers[0].feedForwardIn.module.weight.shape == [48, 24])
  }

  @Test func classNameTakesPrecedenceOverArchitectures() throws {
    let json = MiniModel.textEncoder
    #expect(try TextEncoderConfig(json: json, location: "").projectionDim == nil)
    let config = try TextEncoderConfig(
      json: json, location: "", className: "CLIPTextModelWithProjection")
    #expect(config.projectionDim == 512)
  }

  @Test(
    arguments: [
      ("model_type", "t5", "is \"t5\", expected \"clip_text_model\""),
      ("hidden_act", "relu", "is \"relu\", expected \"quick_gelu\" or \"gelu\""),
      ("num_attention_heads", 5, "is 5, expected a divisor of 'hidden_size', which is 24"),
      ("eos_token_id", [1, 2], "expected a whole number"),
      ("vocab_size", 0, "expected a whole number from 1"),
      ("architectures", ["T5EncoderModel"], "is \"T5EncoderModel\", expected \"CLIPTextModel\""),
    ] as [(String, JSONValue, String)])
  func refuses(field: String, value: JSONValue, message: String) throws {
    var json = MiniModel.textEncoder
    json[field] = value
    let error = try #require(throws: ConfigError.self) {
      _ = try TextEncoderConfig(json: json, location: "text_encoder/config.json")
    }
    #expect(error.field == field)
    #expect(error.description.contains(message), "\(error)")
  }
}

@Suite struct VAEConfigTests {
  @Test func absentFieldsTakeDefaults() throws {
    let config = try VAEConfig(json: MiniModel.vae, location: "")
    #expect(config.scalingFactor == 0.18215)
    #expect(config.downsamplingFactor == 2)
    #expect(config.forceUpcast)
  }

  @Test func emptyConfigTakesDefaults() throws {
    let config = try VAEConfig(json: [:], location: "")
    #expect(config.blockOutChannels == [64])
    #expect(config.sampleSize == ImageSize(width: 32, height: 32))
    #expect(config.inChannels == 3 && config.outChannels == 3)
    #expect(config.latentChannels == 4)
    #expect(config.layersPerBlock == 1)
    #expect(config.normNumGroups == 32)
    #expect(config.scalingFactor == 0.18215)
    #expect(config.forceUpcast && config.useQuantConv && config.usePostQuantConv)
    #expect(config.midBlockAddAttention)
  }

  @Test func unusualValuesShapeTheTree() throws {
    var json = MiniModel.vae
    json["in_channels"] = 1
    json["out_channels"] = 2
    json["latent_channels"] = 16
    json["layers_per_block"] = 3
    json["scaling_factor"] = 0.5
    json["force_upcast"] = .null
    json["sample_size"] = .null
    let config = try VAEConfig(json: json, location: "")
    #expect(config.scalingFactor == 0.5)
    #expect(!config.forceUpcast)
    #expect(config.sampleSize == nil)
    let tree = VAESpec(config)
    #expect(tree.encoder.convIn.module.weight.shape == [8, 1, 3, 3])
    #expect(tree.encoder.convOut.module.weight.shape == [32, 16, 3, 3])
    #expect(tree.encoder.quantConv?.module.weight.shape == [32, 32, 1, 1])
    #expect(tree.encoder.levels[0].resnets.count == 3)
    #expect(tree.decoder.levels[0].resnets.count == 4)
    #expect(tree.decoder.convIn.module.weight.shape == [16, 16, 3, 3])
    #expect(tree.decoder.convOut.module.weight.shape == [2, 8, 3, 3])
  }

  @Test func optionalPartsFollowTheConfig() throws {
    var json = MiniModel.vae
    json["use_quant_conv"] = false
    json["use_post_quant_conv"] = false
    json["mid_block_add_attention"] = false
    let names = try VAEConfig(json: json, location: "").modules.map(\.name)
    #expect(!names.contains { $0.contains("quant_conv") || $0.contains("attentions") })
    #expect(names.contains("decoder.mid_block.resnets.1.conv2"))
  }

  @Test(
    arguments: [
      ("_class_name", "AutoencoderTiny", "expected \"AutoencoderKL\""),
      ("act_fn", "gelu", "expected \"silu\" or \"swish\""),
      ("shift_factor", 0.1, "expected null"),
      ("latents_mean", [0.1], "expected null"),
      ("latents_std", [1.1], "expected null"),
      ("down_block_types", ["AttnDownEncoderBlock2D"], "\"DownEncoderBlock2D\""),
      ("up_block_types", ["UpDecoderBlock2D"], "expected 2 blocks"),
      ("block_out_channels", [8], "expected 2 numbers"),
      ("norm_num_groups", 3, "expected a divisor of level 0's 8 channels"),
      ("scaling_factor", 0, "expected a number above 0"),
      ("layers_per_block", 0, "expected a whole number from 1"),
    ] as [(String, JSONValue, String)])
  func refuses(field: String, value: JSONValue, message: String) throws {
    var json = MiniModel.vae
    json[field] = value
    let error = try #require(throws: ConfigError.self) {
      _ = try VAEConfig(json: json, location: "vae/config.json")
    }
    #expect(error.field == field)
    #expect(error.description.contains(message), "\(error)")
  }
}
