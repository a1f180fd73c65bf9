import ModelSources
import Support
import Tensors
import Testing

/// Recognition of architectures from components, and the defaults that they supply.
struct ArchitectureTests {
  private func component(_ name: String, _ config: JSONObject = [:]) -> ModelSource.Component {
    ModelSource.Component(
      name: name, className: "", config: config, weights: MemorySource(location: name, []))
  }

  private func model(_ components: [ModelSource.Component]) -> ModelSource {
    ModelSource(
      location: "m", layout: "memory", index: [:], components: components, scheduler: nil,
      files: [])
  }

  private static let added: JSONObject = ["addition_embed_type": "text_time"]
  private static let gelu: JSONObject = ["hidden_act": "gelu"]

  @Test func namesAreUnique() {
    let names = Architectures.all.map(\.name)
    #expect(names.sorted() == ["sd-v1", "sd-v2", "sdxl", "sdxl-refiner"])
  }

  @Test(
    arguments: [
      ([], "sd-v1"), ([("vae", [:])], "sd-v1"), ([("unet", [:])], "sd-v1"),
      ([("unet", ["cross_attention_dim": 1024])], "sd-v2"),
      ([("unet", ["cross_attention_dim": 1024]), ("text_encoder", [:])], "sd-v1"),
      ([("text_encoder", gelu)], "sd-v2"),
      ([("unet", added)], "sdxl"),
      ([("unet", ["addition_embed_type": "text_time", "cross_attention_dim": 2048])], "sdxl"),
      (
        [("unet", ["addition_embed_type": "text_time", "cross_attention_dim": 1280])],
        "sdxl-refiner"
      ),
      ([("unet", added), ("text_encoder", [:]), ("text_encoder_2", gelu)], "sdxl"),
      ([("unet", added), ("text_encoder_2", gelu)], "sdxl-refiner"),
      ([("text_encoder_2", gelu)], "sdxl-refiner"),
    ] as [([(String, JSONObject)], String)])
  func componentsDecide(components: [(String, JSONObject)], name: String) {
    #expect(Architectures.of(components.map { component($0.0, $0.1) }).name == name)
  }

  @Test func absentMetadataIsCompleted() throws {
    let plain = model([
      component("text_encoder"), component("text_encoder_2"), component("unet", Self.added),
    ]).completedWithArchitectureDefaults()
    #expect(plain.index["_class_name"] == "StableDiffusionXLPipeline")
    #expect(plain.index["force_zeros_for_empty_prompt"] == true)
    #expect(plain.scheduler?["_class_name"] == "EulerDiscreteScheduler")
    #expect(
      plain.files.map(\.path) == [
        "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json",
        "tokenizer_2/special_tokens_map.json", "tokenizer_2/tokenizer_config.json",
      ])
    let inpainting = model([component("unet", ["in_channels": 9])])
      .completedWithArchitectureDefaults()
    #expect(inpainting.index["_class_name"] == "StableDiffusionInpaintPipeline")
  }

  @Test func presentMetadataStays() {
    var source = model([component("text_encoder"), component("unet")])
    source.index = ["_class_name": "LatentConsistencyModelPipeline"]
    source.scheduler = ["_class_name": "LCMScheduler"]
    source.files = [ModelSource.File(path: "tokenizer/vocab.json", bytes: ByteSlice([UInt8(1)]))]
    let completed = source.completedWithArchitectureDefaults()
    #expect(completed.index == source.index)
    #expect(completed.scheduler == source.scheduler)
    #expect(completed.files.map(\.path) == ["tokenizer/vocab.json"])
  }

  @Test(
    arguments: [
      ("StableDiffusionPipeline", ["sdxl", "sdxl-refiner"]),
      ("StableDiffusionImg2ImgPipeline", ["sdxl", "sdxl-refiner"]),
      ("StableDiffusionXLPipeline", ["sd-v1", "sd-v2"]),
      // A pipeline of SDXL from images is saved with the refiner's class.
      ("StableDiffusionXLImg2ImgPipeline", ["sd-v1", "sd-v2"]),
      ("LatentConsistencyModelPipeline", []),
    ] as [(String, [String])])
  func pipelinesOfOtherArchitecturesAreForeign(pipeline: String, foreign: [String]) {
    let found = Architectures.all.filter { Architectures.pipeline(pipeline, isForeignTo: $0) }
    #expect(found.map(\.name).sorted() == foreign)
  }

  @Test func ownPipelinesAreNotForeign() {
    for architecture in Architectures.all {
      for name in [architecture.pipelineClass, architecture.inpaintingClass] {
        #expect(!Architectures.pipeline(name, isForeignTo: architecture), "\(name)")
      }
    }
  }

  @Test func headsFollowTextWidthAndProjections() {
    #expect(Architectures.heads(textWidth: 768, isLinear: true) == .count(8))
    #expect(Architectures.heads(textWidth: 1024, isLinear: false) == .count(8))
    for width in [1024, 1280, 2048, 32, nil] as [Int?] {
      #expect(Architectures.heads(textWidth: width, isLinear: true) == .width(64))
    }
  }

  @Test func onlyOpenCLIPHIsShortened() {
    #expect(Architectures.shortenedTextEncoder(width: 1024)?.layers == 24)
    for width in [768, 1280, nil] as [Int?] {
      #expect(Architectures.shortenedTextEncoder(width: width) == nil)
    }
  }

  @Test func onlySDXLUsesZerosForAnEmptyPrompt() {
    #expect(Architectures.all.filter(\.usesZerosForEmptyPrompt).map(\.name) == ["sdxl"])
  }

  @Test func schedulerConfigsStateThePredictionType() {
    #expect(PredictionType(scheduler: nil) == .epsilon)
    #expect(PredictionType(scheduler: ["prediction_type": .null]) == .epsilon)
    #expect(PredictionType(scheduler: ["prediction_type": "flow"]) == .epsilon)
    for type in PredictionType.allCases {
      #expect(PredictionType(scheduler: ["prediction_type": type.json]) == type)
    }
  }

  @Test func factsOfTheAutoencoderAreConfigMembers() throws {
    let facts = Architectures.all.map { ($0.name, $0.autoencoder.config) }
    for (name, config) in facts {
      let isXL = name.hasPrefix("sdxl")
      #expect(config["scaling_factor"] == .number(isXL ? 0.13025 : 0.18215))
      #expect(config["force_upcast"] == (isXL ? true : nil))
    }
  }

  @Test func shapesGiveASignature() throws {
    func source(_ tensors: [(String, Shape)]) -> MemorySource {
      MemorySource(
        location: "f",
        tensors.map {
          ($0.0, StoredTensor(shape: $0.1, floats: [Float](repeating: 0, count: $0.1.count)))
        })
    }
    let expected = UNetSignature(inputs: 4, width: 8, textWidth: 24, addedWidth: 40)
    let diffusers = source([
      ("conv_in.weight", [8, 4, 3, 3]), ("add_embedding.linear_1.weight", [32, 40]),
      ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", [8, 24]),
    ])
    #expect(UNetSignature(diffusers) == expected)
    let single = source([
      ("first_stage_model.encoder.conv_in.weight", [2, 3, 3, 3]),
      ("model.diffusion_model.input_blocks.0.0.weight", [8, 4, 3, 3]),
      ("model.diffusion_model.label_emb.0.0.weight", [32, 40]),
      ("model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight", [8, 24]),
    ])
    #expect(UNetSignature(single) == expected)
    let plain = UNetSignature(source([("conv_in.weight", [8, 4, 3, 3])]))
    #expect(plain == UNetSignature(inputs: 4, width: 8, textWidth: nil, addedWidth: nil))
    #expect(UNetSignature(source([("encoder.conv_in.weight", [2, 3, 3, 3])])) == nil)
  }
}
