import ModelSources
import Models
import Support
import Tensors
import Testing

@Suite struct BindingTests {
  @Test func bindsAModelOfAnyWidth() throws {
    let model = try Model.bind(MiniModel.source())
    #expect(model.family.name == "sd-v1-custom")
    #expect(model.components.map(\.name) == ["text_encoder", "unet", "vae"])
    #expect(model.defaultSize == ImageSize(width: 16, height: 16))
    let unet = try #require(model["unet"])
    #expect(unet.modules.parameterCount == unet.weights.parameterCount)
  }

  @Test func listsEveryFaultOfEveryComponentAtOnce() throws {
    var source = try MiniModel.source()
    let unet = try #require(source["unet"])
    source["unet"]?.weights = AlteredWeights(
      base: unet.weights,
      renamed: [
        "conv_in.weight": "conv_inn.weight", "conv_out.bias": nil,
      ],
      replaced: [
        "down_blocks.0.resnets.0.conv1.bias": StoredTensor(
          shape: [4], floats: [0, 0, 0, 0]),
        "conv_norm_out.bias": StoredTensor(
          shape: [16], encoding: .plain(.i64),
          parts: [ByteSlice([UInt8](repeating: 0, count: 128))]),
      ])
    let vae = try #require(source["vae"])
    source["vae"]?.weights = AlteredWeights(
      base: vae.weights, renamed: ["decoder.conv_in.bias": nil])

    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    guard case .tensors("mini", let faults) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(faults.map(\.component) == ["unet", "vae"])
    #expect(faults[0].missing.map(\.name) == ["conv_in.weight", "conv_out.bias"])
    #expect(faults[0].unexpected.map(\.name) == ["conv_inn.weight"])
    #expect(faults[0].misshapen.map(\.found) == [[4]])
    #expect(faults[0].unusable.map(\.encoding) == ["i64"])
    #expect(faults[1].missing.map(\.name) == ["decoder.conv_in.bias"])
    #expect(
      error.description == """
        mini: tensors do not fit the configs: unet 2 missing, 1 unexpected, 1 misshapen, \
        1 unusable; vae 1 missing
          unet: missing 'conv_in.weight' [16, 4, 3, 3] (did you mean 'conv_inn.weight'?)
          unet: missing 'conv_out.bias' [4]
          unet: unexpected 'conv_inn.weight' [16, 4, 3, 3]
          unet: misshapen 'down_blocks.0.resnets.0.conv1.bias': found [4], expected [16]
          unet: unusable 'conv_norm_out.bias': weights cannot be of kind i64
          vae: missing 'decoder.conv_in.bias' [16]
        """)
  }

  /// Int8 weights whose scales are not in the file cannot be read.
  @Test func integerCodesWithoutScalesAreNamed() throws {
    var source = try MiniModel.source()
    let unet = try #require(source["unet"])
    source["unet"]?.weights = AlteredWeights(
      base: unet.weights,
      replaced: [
        "conv_norm_out.bias": StoredTensor(
          shape: [16], encoding: .plain(.i8),
          parts: [ByteSlice([UInt8](repeating: 0, count: 16))])
      ])
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(
      error.description == """
        mini: tensors do not fit the configs: unet 1 of integer codes without scales
          unet: unusable 'conv_norm_out.bias': weights cannot be of kind i8
        """)
    #expect(error.remedy == .readOriginal)
  }

  @Test func aMessageStaysShortWhenEverythingIsMissing() throws {
    var source = try MiniModel.source()
    source["unet"]?.weights = MemorySource(location: "mini", [])
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    let lines = error.description.split(separator: "\n")
    #expect(lines.count == 8)
    #expect(lines.last?.hasSuffix("more") == true)
  }

  @Test(arguments: ["unet", "vae", "text_encoder"])
  func namesAMissingComponent(name: String) throws {
    var source = try MiniModel.source()
    source[name] = nil
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(error.description.hasPrefix("mini: component '\(name)' is missing; found "))
    let settings: [String: Setting] = ["unet": .unet, "vae": .vae, "text_encoder": .textEncoder]
    #expect(error.remedy == settings[name].map { .addComponents([$0]) })
  }

  @Test func namesAllMissingComponents() throws {
    var source = try MiniModel.source()
    source["vae"] = nil
    source["text_encoder"] = nil
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(
      error.description == "mini: components 'vae' and 'text_encoder' are missing; found unet")
    #expect(error.remedy == .addComponents([.vae, .textEncoder]))
  }

  /// In a single file, a config has no path.
  @Test func errorsOfConfigsInAFileNameTheComponent() throws {
    var source = try MiniModel.source()
    source.location = #filePath
    source["unet"]?.config["act_fn"] = "mish"
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(error.description.hasPrefix("\(#filePath) (unet): 'act_fn' is \"mish\""))
  }

  @Test func controlCharactersInNamesAreEscaped() throws {
    var source = try MiniModel.source()
    let unet = try #require(source["unet"])
    let name = "\u{1b}[31m" + String(repeating: "x", count: 1000)
    // Beside a missing tensor, others are listed.
    source["unet"]?.weights = AlteredWeights(
      base: unet.weights, renamed: ["conv_out.bias": nil],
      replaced: [name: StoredTensor(shape: [1], floats: [0])])
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(error.description.contains("unexpected '\\u{1b}[31mxxx"))
    #expect(!error.description.contains("\u{1b}"))
    #expect(error.description.utf8.count < 400)
  }

  @Test func aConfigErrorNamesItsFile() throws {
    var source = try MiniModel.source()
    source["unet"]?.config["act_fn"] = "mish"
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(
      error.description
        == "mini/unet/config.json: 'act_fn' is \"mish\", expected \"silu\" or \"swish\"")
  }

  /// An editing model takes image latents beside the noise, which no family here does.
  @Test func aKnownKindOfOtherModelIsNamed() throws {
    let family = try #require(Family.named("sd-v1-4"))
    var source = try #require(try family.synthesize(seed: 0, kind: .f16))
    source["unet"]?.config["in_channels"] = 8
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(
      error.description
        == "sd-v1-4 (random): the model is InstructPix2Pix, whose U-Net takes an image beside the "
        + "latents ('in_channels' 8)")
    #expect(
      error.remedy == .act("use a Stable Diffusion 1, 2 or XL model that makes images from text"))
    // What is missing does not matter then.
    source["vae"] = nil
    let other = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(other == error)
  }

  /// Members of configs that show other kinds of models, invalid for those that are read or not.
  @Test(
    arguments: [
      ("unet", "in_channels", 5, "the model is Stable Diffusion 2 with depth"),
      ("unet", "in_channels", 7, "the model is the Stable Diffusion x4 upscaler"),
      ("unet", "num_class_embeds", 1000, "the model is the Stable Diffusion x4 upscaler"),
      ("unet", "class_embed_type", "projection", "the model is Stable unCLIP"),
      ("unet", "encoder_hid_dim_type", "image_proj", "the model is Kandinsky 2"),
      ("unet", "encoder_hid_dim_type", "text_image_proj", "the model is Kandinsky 2"),
      ("unet", "encoder_hid_dim_type", "text_proj", "the model is Kolors"),
      ("unet", "addition_embed_type", "text", "the model is DeepFloyd IF"),
      ("unet", "attention_type", "gated", "the model is GLIGEN"),
      ("vae", "latent_channels", 16, "component 'vae' is a Flux or SD 3 VAE"),
      ("vae", "latent_channels", 32, "component 'vae' is a Flux 2 VAE"),
    ] as [(String, String, JSONValue, String)])
  func configsShowKinds(
    component: String, member: String, value: JSONValue, kind: String
  ) throws {
    var source = try MiniModel.source()
    source[component]?.config[member] = value
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(error.description.hasPrefix("mini: \(kind), "), "\(error)")
    #expect(error.description.hasSuffix(" ('\(member)' \(value.text()))"), "\(error)")
  }

  /// A mask and a masked latent beside the latent are supported.
  @Test func inpaintingIsNoOtherKind() throws {
    let family = try #require(Family.named("sd-v1-5-inpainting"))
    let source = try #require(try family.synthesize(seed: 0, kind: .f16))
    #expect(source["unet"]?.config["in_channels"] == 9)
    #expect(try Model.bind(source).family.name == "sd-v1-5-inpainting")
    #expect(source.components.foreign == nil)
  }

  @Test func componentsThatDoNotFitTogetherAreNamed() throws {
    func differences(
      _ edit: (inout ModelSource) -> Void, of name: String = "sd-v1-4"
    ) throws -> [String] {
      let family = try #require(Family.named(name))
      var source = try #require(try family.synthesize(seed: 0, kind: .f16))
      edit(&source)
      let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
      guard case .unknownFamily(_, name, let differences, _) = error else {
        Issue.record("\(error)")
        return []
      }
      return differences
    }
    let projected = try differences {
      $0["text_encoder"]?.className = "CLIPTextModelWithProjection"
      $0["text_encoder"]?.config["projection_dim"] = 768
    }
    #expect(projected == ["the text encoder has a projection to width 768, expected none"])
    let wide = try differences {
      $0["unet"]?.config["cross_attention_dim"] = 1024
      $0["unet"]?.config["out_channels"] = 8
      $0["vae"]?.config["latent_channels"] = 12
    }
    #expect(
      wide == [
        "the unet takes text of width 1024, the text encoder gives 768",
        "the unet takes 4 channels and gives 8, expected 12 or 25 and 12, as the vae has 12 latent "
          + "channels",
      ])
    let narrow = try differences(
      { $0["unet"]?.config["projection_class_embeddings_input_dim"] = 2304 }, of: "sdxl-base-1.0")
    #expect(
      narrow == [
        "the unet's added embedding takes 2304 numbers, expected 2816"
      ])
  }

  /// Text encoders of another architecture than the U-Net's, and those in each other's place.
  @Test func textEncodersThatTheUNetDoesNotTakeAreNamed() throws {
    func source(_ name: String) throws -> ModelSource {
      let family = try #require(Family.named(name))
      return try #require(try family.synthesize(seed: 0, kind: .f16))
    }
    func refusal(_ source: ModelSource) throws -> BindingError {
      try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    }
    let (small, large) = (try source("sd-v1-4"), try source("sdxl-base-1.0"))
    func renamed(_ part: ModelSource.Component?, _ name: String) throws -> ModelSource.Component {
      let part = try #require(part)
      return ModelSource.Component(
        name: name, className: part.className, config: part.config, weights: part.weights)
    }

    var mixed = small
    mixed["unet"] = large["unet"]
    let unfit = try refusal(mixed)
    #expect(
      unfit.description
        == "sd-v1-4 (random): the components do not make a model such as sdxl-base-1.0: the unet "
        + "takes text of width 2048 and an added embedding of 2816 numbers and works with "
        + "text_encoder and text_encoder_2; found text_encoder of width 768 (CLIP-L) alone")
    #expect(
      unfit.remedy
        == .either([
          .addComponents([.textEncoder2]), .act("use a unet of sd-v1, which takes such text"),
        ]))

    var second = small
    second.components.append(try renamed(large["text_encoder_2"], "text_encoder_2"))
    let unused = try refusal(second)
    #expect(
      unused.description
        == "sd-v1-4 (random): the components do not make a model such as sd-v1-4: the unet takes "
        + "text of width 768 and works with text_encoder; found text_encoder of width 768 (CLIP-L) "
        + "and text_encoder_2 of width 1280 (CLIP-G)")
    #expect(
      unused.remedy
        == .act(
          "leave text_encoder_2 out, or use the unet of a model that has such text encoders"))

    var swapped = large
    swapped["text_encoder"] = try renamed(large["text_encoder_2"], "text_encoder")
    swapped["text_encoder_2"] = try renamed(large["text_encoder"], "text_encoder_2")
    #expect(
      try refusal(swapped).description
        == "sdxl-base-1.0 (random): the components do not make a model such as sdxl-base-1.0: the "
        + "text encoders are swapped: found text_encoder of width 1280 (CLIP-G) and text_encoder_2 "
        + "of width 768 (CLIP-L); expected text_encoder of width 768 and text_encoder_2 of width "
        + "1280")

    var twice = large
    twice["text_encoder_2"] = try renamed(large["text_encoder"], "text_encoder_2")
    #expect(
      try refusal(twice).description
        == "sdxl-base-1.0 (random): the components do not make a model such as sdxl-base-1.0: the "
        + "unet takes text of width 2048, the text encoders give 1536: text_encoder of width 768 "
        + "(CLIP-L) and text_encoder_2 of width 768 (CLIP-L); the unet's added embedding takes 2816 "
        + "numbers, expected 1536, as text_encoder_2 has no projection")
    #expect(try refusal(twice).remedy == nil)
  }

  @Test func integerCodesAreWeights() throws {
    var source = try MiniModel.source()
    let unet = try #require(source["unet"])
    source["unet"]?.weights = AlteredWeights(
      base: unet.weights,
      replaced: [
        "conv_out.weight": StoredTensor(
          shape: [4, 16, 3, 3], encoding: .int8,
          parts: [
            ByteSlice([Int8](repeating: 1, count: 4 * 144)),
            ByteSlice([Float](repeating: 1, count: 4)),
          ])
      ])
    _ = try Model.bind(source)
  }
}
