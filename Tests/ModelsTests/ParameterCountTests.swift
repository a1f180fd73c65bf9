import Models
import Support
import Testing

/// Parameter counts, measured with diffusers and transformers and equal to published counts where
/// there are any.
@Suite struct ParameterCountTests {
  @Test(arguments: [
    ("sd-v1-4", 859_520_964, 686, [123_060_480]),
    ("sd-v1-5", 859_520_964, 686, [123_060_480]),
    ("sd-v1-5-inpainting", 859_535_364, 686, [123_060_480]),
    ("bk-sdm-base", 579_384_964, 442, [123_060_480]),
    ("bk-sdm-small", 482_346_884, 396, [123_060_480]),
    ("bk-sdm-tiny", 323_384_964, 358, [123_060_480]),
    ("segmind-small-sd", 579_384_964, 442, [123_060_480]),
    ("segmind-tiny-sd", 323_384_964, 358, [123_060_480]),
    ("lcm-dreamshaper-v7", 859_602_884, 687, [123_060_480]),
    ("sd-v2-1-base", 865_910_724, 686, [340_387_840]),
    ("sd-v2-1", 865_910_724, 686, [340_387_840]),
    ("sd-v2-inpainting", 865_925_124, 686, [340_387_840]),
    ("sd-turbo", 865_910_724, 686, [340_387_840]),
    ("bk-sdm-v2-base", 583_480_964, 442, [340_387_840]),
    ("bk-sdm-v2-small", 485_787_524, 396, [340_387_840]),
    ("bk-sdm-v2-tiny", 326_825_604, 358, [340_387_840]),
    ("sdxl-base-1.0", 2_567_463_684, 1680, [123_060_480, 694_659_840]),
    ("sdxl-turbo", 2_567_463_684, 1680, [123_060_480, 694_659_840]),
    ("lcm-sdxl", 2_567_545_604, 1681, [123_060_480, 694_659_840]),
    ("ssd-1b", 1_331_334_404, 944, [123_060_480, 694_659_840]),
    ("segmind-vega", 745_225_604, 564, [123_060_480, 694_659_840]),
    ("koala-700m", 782_822_724, 584, [123_060_480, 694_659_840]),
    ("koala-1b", 1_161_184_324, 790, [123_060_480, 694_659_840]),
    ("sdxl-refiner-1.0", 2_259_526_660, 1220, [694_659_840]),
  ])
  func family(name: String, parameters: Int, tensors: Int, texts: [Int]) throws {
    let template = try #require(Family.named(name)?.template)
    let configs = try template.configs(location: name)
    #expect(configs.unet.modules.parameterCount == parameters)
    #expect(configs.unet.modules.tensors.count == tensors)
    #expect(configs.vae.modules.parameterCount == 83_653_863)
    #expect(configs.vae.modules.tensors.count == 248)
    #expect(configs.textEncoders.map(\.modules.parameterCount) == texts)
  }

  @Test func everyPublishedFamilyIsCounted() {
    #expect(Family.all.filter { $0.template != nil }.count == 24)
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
