import Models
import Tensors
import Testing

/// Figures measured with diffusers and transformers, equal to those that the models' authors
/// publish where they do.
@Suite struct ParameterCountTests {
  @Test(arguments: [
    ("sd-v1-4", 859_520_964, 686),
    ("sd-v1-5", 859_520_964, 686),
    ("bk-sdm-base", 579_384_964, 442),
    ("bk-sdm-small", 482_346_884, 396),
    ("bk-sdm-tiny", 323_384_964, 358),
  ])
  func family(name: String, parameters: Int, tensors: Int) throws {
    let template = try #require(Family.named(name)?.template)
    let configs = try template.configs(location: name)
    #expect(configs.unet.modules.parameterCount == parameters)
    #expect(configs.unet.modules.tensors.count == tensors)
    #expect(configs.vae.modules.parameterCount == 83_653_863)
    #expect(configs.vae.modules.tensors.count == 248)
    let encoder = try #require(configs.textEncoders.first)
    #expect(encoder.modules.parameterCount == 123_060_480)
    #expect(encoder.modules.tensors.count == 196)
  }

  /// U-Nets that later families have, and that use lists within lists, levels without attention and
  /// mid blocks of one resnet.
  @Test(arguments: [
    ("sdxl-base", "UNetMidBlock2DCrossAttn", "2", "[1, 2, 10]", "null", 2_567_463_684, 1680),
    (
      "ssd-1b", "UNetMidBlock2D", "2", "[[1], [2, 2], [4, 4]]", "[[4, 4, 10], [2, 1, 1], 1]",
      1_331_334_404, 944
    ),
    ("vega", "UNetMidBlock2D", "2", "[1, 1, 2]", "null", 745_225_604, 564),
    ("koala-700m", "null", "1", "[0, 2, 5]", "null", 782_822_724, 584),
    ("koala-1b", "UNetMidBlock2DCrossAttn", "1", "[0, 2, 6]", "null", 1_161_184_324, 790),
  ])
  func xlDepths(
    name: String, mid: String, layers: String, depths: String, reversed: String, parameters: Int,
    tensors: Int
  ) throws {
    let text = """
      {"block_out_channels": [320, 640, 1280], "attention_head_dim": [5, 10, 20],
       "cross_attention_dim": 2048, "use_linear_projection": true, "upcast_attention": null,
       "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
       "projection_class_embeddings_input_dim": 2816, "layers_per_block": \(layers),
       "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
       "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
       "mid_block_type": \(mid == "null" ? mid : "\"\(mid)\""),
       "transformer_layers_per_block": \(depths),
       "reverse_transformer_layers_per_block": \(reversed)}
      """
    let json = try #require(try JSONValue(parsing: text).object)
    let modules = try UNetConfig(json: json, location: name).modules
    #expect(modules.parameterCount == parameters)
    #expect(modules.tensors.count == tensors)
  }

  @Test func textEncoderWithProjection() throws {
    let json: JSONObject = [
      "architectures": ["CLIPTextModelWithProjection"], "hidden_act": "gelu", "hidden_size": 1280,
      "intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32,
      "projection_dim": 1280,
    ]
    let config = try TextEncoderConfig(json: json, location: "")
    #expect(config.modules.parameterCount == 694_659_840)
    #expect(config.modules.last?.name == "text_projection")
  }

  @Test(arguments: [
    ("down_blocks.0.attentions.0", 2_546_240),
    ("down_blocks.0.resnets.0", 2_255_040),
    ("down_blocks.0.downsamplers.0", 921_920),
    ("down_blocks.1.resnets.0", 6_558_080),
    ("down_blocks.2.attentions.1", 34_760_960),
  ])
  func block(name: String, parameters: Int) throws {
    let template = try #require(Family.named("sd-v1-5")?.template)
    let blocks = try template.configs(location: "").unet.modules.blocks
    #expect(blocks.first { $0.name == name }?.parameters == parameters)
    #expect(blocks.count == Set(blocks.map(\.name)).count)
    #expect(blocks.reduce(0) { $0 + $1.parameters } == 859_520_964)
  }

  @Test func autoencoderHalves() throws {
    let template = try #require(Family.named("sd-v1-4")?.template)
    let modules = try template.configs(location: "").vae.modules
    func count(_ prefixes: String...) -> Int {
      modules.filter { module in prefixes.contains { module.name.hasPrefix($0) } }.parameterCount
    }
    #expect(count("encoder.", "quant_conv") == 34_163_592 + 72)
    #expect(count("decoder.", "post_quant_conv") == 49_490_179 + 20)
  }
}
