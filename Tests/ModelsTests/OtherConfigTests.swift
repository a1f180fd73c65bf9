import Models
import Support
import Testing

@Suite struct TextEncoderConfigTests {
  @Test func emptyConfigTakesDefaults() throws {
    let config = try TextEncoderConfig(json: [:], location: "")
    #expect(config.vocabSize == 49408)
    #expect(config.hiddenSize == 512)
    #expect(config.activation == .quickGELU)
    #expect(config.eosTokenID == 49407)
    #expect(config.projectionDim == nil)
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
