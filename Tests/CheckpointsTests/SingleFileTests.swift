import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Single files: what the reader derives, and how it describes files that it cannot read.
struct SingleFileTests {
  private func archive(_ tensors: [(String, Shape)]) -> Archive {
    Archive(
      weights: MemorySource(
        location: "f.safetensors",
        tensors.map {
          ($0.0, StoredTensor(shape: $0.1, floats: [Float](repeating: 0, count: $0.1.count)))
        }), kind: "safetensors file")
  }

  private func refusal(_ tensors: [(String, Shape)], options: ReadOptions = ReadOptions()) -> String
  {
    message {
      _ = try SingleFileReader().model(
        of: archive(tensors), path: "f.safetensors", options: options)
    }.replacingOccurrences(of: "f.safetensors: ", with: "")
  }

  /// A U-Net of one level with one resnet in the down block and `up` resnets in the up block.
  private static func unet(up: Int = 2, extra: [(String, Shape)] = []) -> [(String, Shape)] {
    let prefix = "model.diffusion_model."
    var tensors: [(String, Shape)] = [
      ("input_blocks.0.0.weight", [8, 4, 3, 3]), ("out.2.weight", [4, 8, 3, 3]),
      ("time_embed.0.weight", [32, 8]),
      ("input_blocks.1.0.in_layers.2.weight", [8, 8, 3, 3]),
      ("input_blocks.1.0.out_layers.3.weight", [8, 8, 3, 3]),
    ]
    for index in 0..<up {
      tensors.append(("output_blocks.\(index).0.in_layers.2.weight", [8, 16, 3, 3]))
    }
    return (tensors + extra).map { (prefix + $0.0, $0.1) }
  }

  @Test func theSmallestUNetIsRead() throws {
    let model = try SingleFileReader().model(of: archive(Self.unet()), path: "f.safetensors")
    let unet = try #require(model["unet"])
    #expect(unet.config["block_out_channels"] == [8])
    #expect(unet.config["layers_per_block"] == 1)
    #expect(unet.config["mid_block_type"] == .null)
    #expect(unet.config["norm_num_groups"] == 8)
    #expect(
      unet.weights.names.sorted() == [
        "conv_in.weight", "conv_out.weight", "down_blocks.0.resnets.0.conv1.weight",
        "down_blocks.0.resnets.0.conv2.weight", "time_embedding.linear_1.weight",
        "up_blocks.0.resnets.0.conv1.weight", "up_blocks.0.resnets.1.conv1.weight",
      ])
  }

  @Test func aUNetWithoutBlocksIsRefused() {
    #expect(
      message { _ = try Readers.all.read(fixture("torch/lightning.ckpt")) }
        == fixture("torch/lightning.ckpt") + ": the U-Net has no resnet blocks, expected tensors "
        + "such as 'input_blocks.1.0.in_layers.2.weight'")
  }

  @Test func levelsThatDoNotMirrorAreRefused() {
    #expect(
      refusal(Self.unet(up: 3))
        == "level 0 of the U-Net has 1 resnet down and 3 up, expected one more up than down")
    #expect(
      refusal(
        Self.unet(extra: [
          ("output_blocks.1.1.conv.weight", [8, 8, 3, 3])
        ])) == "the U-Net has 1 level down and 2 up, expected as many up as down")
  }

  @Test func attentionsAfterSomeResnetsOnlyAreRefused() {
    #expect(
      refusal(Self.unet(extra: [("output_blocks.1.1.norm.weight", [8])]))
        == "level 0 of the U-Net's up blocks has attention after some resnets only, expected after "
        + "all or none")
  }

  @Test func oddMidBlocksAreRefused() {
    #expect(
      refusal(
        Self.unet(extra: [
          ("middle_block.1.norm.weight", [8]),
          ("middle_block.0.in_layers.0.weight", [8]),
        ]))
        == "the mid block has 1 resnet with attention, expected two with attention or one without")
  }

  @Test func missingTensorsAreNamed() {
    let tensors = Self.unet().filter { !$0.0.contains("out_layers") }
    #expect(refusal(tensors) == "tensor 'input_blocks.1.0.out_layers.3.weight' is missing")
    let flat = Self.unet().map { name, shape in
      (name, name.hasSuffix("input_blocks.0.0.weight") ? [8, 4] as Shape : shape)
    }
    #expect(
      refusal(flat) == "tensor 'input_blocks.0.0.weight' is [8, 4], expected 4 dimensions")
  }

  /// The header of an empty tensor may claim any number of rows.
  @Test func excessiveWidthsAreRefused() {
    for rows in [1 << 62, 0] {
      let tensors = Self.unet().map { name, shape in
        (name, name.hasSuffix("input_blocks.1.0.out_layers.3.weight") ? [rows, 0, 1, 1] : shape)
      }
      #expect(
        refusal(tensors)
          == "tensor 'input_blocks.1.0.out_layers.3.weight' is [\(rows), 0, 1, 1], expected "
          + "1 to 1048576 output channels")
    }
  }

  @Test func filesOfOtherThingsAreRefused() {
    #expect(
      refusal([("blk.0.attn_q.weight", [2, 2]), ("output_norm.weight", [2])])
        == "a safetensors file of a language model, which generates text; it holds 2 tensors (blk. 1 "
        + "and output_norm. 1)")
    #expect(
      refusal([("weight", [2, 2])])
        == "a safetensors file without the tensors of a Stable Diffusion model; it holds 1 tensor "
        + "(weight 1)")
    #expect(
      refusal([("lora_unet_x.lora_down.weight", [2, 2])])
        == "holds low-rank adapters (lora_unet_x.lora_down.weight), not a model")
    #expect(
      refusal(Self.unet() + [("edm_mean", [4])])
        == "tensor 'edm_mean' marks a model trained with EDM's continuous noise, which no scheduler "
        + "supports")
  }

  /// Tensor names, with or without a prefix, and the kind of file that they show.
  @Test(arguments: [
    (
      ["model.diffusion_model.joint_blocks.0.x", "model.diffusion_model.context_embedder.weight"],
      "Stable Diffusion 3, a diffusion transformer without a U-Net"
    ),
    (
      ["double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"],
      "Flux, a diffusion transformer without a U-Net"
    ),
    (
      ["down_blocks.0.motion_modules.0.proj_in.weight"],
      "an AnimateDiff motion module, an addition to a model"
    ),
    (
      ["control_model.input_hint_block.0.weight", "control_model.input_blocks.0.0.weight"],
      "a ControlNet, an addition to a model"
    ),
    (["emb_params"], "a textual inversion, token embeddings for a text encoder"),
    (
      ["encoder.block.0.layer.0.SelfAttention.q.weight"],
      "a T5 text encoder, which no supported family has"
    ),
  ]) func otherModelsAreNamed(names: [String], foreignKind: String) {
    let said = refusal(names.map { ($0, [2, 2]) })
    #expect(
      said.hasPrefix("a safetensors file of \(foreignKind); it holds \(names.count) tensor"),
      "\(said)"
    )
  }

  /// The names of diffusers' adapters begin with module names of a U-Net.
  @Test func adaptersOfEveryNamingAreNoModel() {
    for ending in ["lora_A.weight", "lora.down.weight", "hada_w1_a", "lokr_w1", "lora_B.bias"] {
      let name = "unet.down_blocks.0.attentions.0.proj_in.\(ending)"
      #expect(
        refusal([(name, [2, 2])])
          == "holds low-rank adapters (\(name)), not a model")
    }
  }

  @Test func surveysSummarizeAFile() {
    let survey = TensorSurvey(
      archive(
        Self.unet(extra: [("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", [8, 24])])
          + [("first_stage_model.encoder.conv_in.weight", [4, 3, 3, 3])]
      ).weights)
    #expect(survey.groups.map(\.prefix) == ["model.diffusion_model.", "first_stage_model."])
    #expect(survey.groups.map(\.tensors) == [8, 1])
    #expect(survey.unet?.inputs == 4 && survey.unet?.width == 8 && survey.unet?.textWidth == 24)
    #expect(survey.unet?.addedWidth == nil)
    #expect(
      survey.marks.map(\.shape) == [[8, 4, 3, 3], [4, 3, 3, 3], [8, 24]])
    #expect(survey.foreignKind == nil)
  }

  @Test func missingVariantsAndAveragesAreRefused() {
    #expect(
      refusal(Self.unet(), options: ReadOptions(ema: true))
        == "holds no moving average of the weights (EMA)")
    #expect(
      refusal([("model_ema.diffusion_modelinput_blocks00weight", [8, 4, 3, 3])])
        == "holds a moving average of a U-Net (EMA) and no other weights of it")
    #expect(
      refusal(
        Self.unet() + [("model_ema.diffusion_modelout2weight", [4, 8, 3, 3])],
        options: ReadOptions(ema: true))
        == "the moving average of the U-Net (EMA) is incomplete: it has 1 of 7 tensors, without "
        + "'model_ema.diffusion_modelinput_blocks00weight'")
    #expect(
      message {
        _ = try SingleFileReader().read("x", options: ReadOptions(variant: "fp16"))
      } == "x: no variant 'fp16'; there are no variants")
  }

  /// All components together decide the architecture. A U-Net alone suffices.
  @Test(arguments: [
    (#"{}"#, ["unet"], "stable-diffusion-v1"),
    (#"{"cross_attention_dim": 1024}"#, ["unet"], "stable-diffusion-v2-512"),
    (#"{"cross_attention_dim": 1024}"#, ["unet", "text_encoder"], "stable-diffusion-v1"),
    (#"{"addition_embed_type": "text_time"}"#, ["unet"], "stable-diffusion-xl-v1-base"),
    (
      #"{"addition_embed_type": "text_time"}"#, ["unet", "text_encoder_2"],
      "stable-diffusion-xl-v1-refiner"
    ),
  ]) func architecturesAreNamed(config: String, components: [String], name: String) throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      let text = try #require(model["text_encoder"])
      model.components.append(
        ModelSource.Component(
          name: "text_encoder_2", className: text.className, config: text.config,
          weights: text.weights))
      model["unet"]?.config = try #require(JSONValue(parsing: config).object)
      model.components.removeAll { !components.contains($0.name) }
      try CheckpointWriter().write(model, to: folder + "/a.safetensors")
      let file = try SafetensorsFile(path: folder + "/a.safetensors")
      #expect(file.metadata["modelspec.architecture"] == name)
    }
  }

  /// The model of a U-Net with text of width `text`, with further tensors and metadata.
  private func predicting(
    text: Int = 1024, _ tensors: [(String, [Float])] = [], metadata: JSONObject = [:]
  ) throws -> ModelSource {
    let attention = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    let unet = Self.unet(extra: [(attention, [8, text])]).map { name, shape in
      (name, StoredTensor(shape: shape, floats: [Float](repeating: 0, count: shape.count)))
    }
    let more = tensors.map { ($0.0, StoredTensor(shape: [$0.1.count], floats: $0.1)) }
    return try SingleFileReader().model(
      of: Archive(
        weights: MemorySource(location: "f", unet + more), metadata: metadata,
        kind: "safetensors file"), path: "f")
  }

  /// Markers, metadata, the training step and a statistic decide, in this order.
  @Test func predictionTypesAreDerived() throws {
    let bias = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    let (loud, quiet) = ((bias, [0.2, -0.2] as [Float]), (bias, [0.05, -0.05] as [Float]))
    let cases: [(ModelSource, type: String, isCertain: Bool)] = [
      (try predicting(), "epsilon", false),
      (try predicting([quiet]), "epsilon", false),
      (try predicting([loud]), "v_prediction", false),
      (try predicting([loud], metadata: ["global_step": 875_000]), "epsilon", true),
      (try predicting([loud, ("global_step", [875_000])]), "epsilon", true),
      (try predicting([loud], metadata: ["global_step": 140_000]), "v_prediction", false),
      (
        try predicting([loud], metadata: ["modelspec.prediction_type": "epsilon"]), "epsilon", true
      ),
      (try predicting(metadata: ["modelspec.prediction_type": "v"]), "v_prediction", true),
      (
        try predicting([("v_pred", [0])], metadata: ["modelspec.prediction_type": "epsilon"]),
        "v_prediction", true
      ),
      (try predicting(text: 768, [loud]), "epsilon", true),
      (try predicting(text: 768, [("v_pred", [0])]), "v_prediction", true),
    ]
    for (index, (model, type, isCertain)) in cases.enumerated() {
      let prediction = model.provenance["prediction"]?.object
      #expect(prediction?["type"] == .string(type), "case \(index)")
      #expect(prediction?["certain"] == .bool(isCertain), "case \(index)")
      #expect(model.scheduler?["prediction_type"] == .string(type), "case \(index)")
      let isLarge = type == "v_prediction" && model["unet"]?.config["cross_attention_dim"] == 1024
      #expect(model["unet"]?.config["sample_size"] == (isLarge ? 96 : 64), "case \(index)")
      #expect(model.scheduler?["rescale_betas_zero_snr"] == nil, "case \(index)")
    }
    let terminal = try predicting([("v_pred", [0]), ("ztsnr", [0])]).scheduler
    #expect(terminal?["rescale_betas_zero_snr"] == true)
    #expect(terminal?["timestep_spacing"] == "trailing")
  }

  @Test func remediesFollowTheError() {
    let survey = TensorSurvey(MemorySource(location: "f", []))
    let remedies: [(SingleFileError, Remedy?)] = [
      (
        .adapter(path: "f", examples: []), .choose(.adapters, purpose: "to merge them into a model")
      ),
      (.noMovingAverage(path: "f"), .leaveOut(.ema)),
      (.incompleteAverage(path: "f", found: 1, expected: 2, missing: "w"), .leaveOut(.ema)),
      (.averageAlone(path: "f"), .choose(.ema, purpose: "to read it")),
      (.malformedConfig(path: "f", found: "not JSON"), .act("convert the model again")),
      (
        .continuousNoise(path: "f", tensor: "edm_mean"),
        .act("use the program that the model was made for")
      ),
      (.notAModel(path: "f", kind: "safetensors file", survey: survey), nil),
    ]
    for (error, remedy) in remedies { #expect(error.remedy == remedy, "\(error)") }
  }

  @Test func damagedConfigsAreRefused() {
    for (text, found) in [
      ("{", "not JSON"), ("[]", "without 'index' or 'components'"),
      (
        #"{"index": {}, "components": {"unet": {}}}"#,
        "without the class or config of component 'unet'"
      ),
    ] {
      let archive = Archive(
        weights: archive(Self.unet()).weights, metadata: ["decant.config": .string(text)],
        kind: "safetensors file")
      let said = message { _ = try SingleFileReader().model(of: archive, path: "f") }
      #expect(said.hasPrefix("f: the metadata's 'decant.config' is \(found)"), "\(said)")
    }
  }

  /// OpenCLIP stacks queries, keys and values, and transposes its projection.
  @Test func openCLIPTensorsAreSplit() throws {
    func counted(_ shape: Shape) -> StoredTensor {
      StoredTensor(shape: shape, floats: (0..<shape.count).map(Float.init))
    }
    let prefix = "conditioner.embedders.1.model."
    let weights = MemorySource(
      location: "f",
      [
        ("token_embedding.weight", counted([5, 2])), ("positional_embedding", counted([3, 2])),
        ("ln_final.weight", counted([2])), ("text_projection", counted([2, 4])),
        ("logit_scale", counted([])),
        ("transformer.resblocks.0.attn.in_proj_weight", counted([6, 2])),
        ("transformer.resblocks.0.attn.in_proj_bias", counted([6])),
        ("transformer.resblocks.0.mlp.c_fc.weight", counted([8, 2])),
      ].map { (prefix + $0.0, $0.1) })
    let model = try SingleFileReader().model(
      of: Archive(weights: weights, kind: "safetensors file"), path: "f")
    let text = try #require(model["text_encoder_2"])
    #expect(text.className == "CLIPTextModelWithProjection")
    let layer = "text_model.encoder.layers.0.self_attn."
    #expect(try text.weights.tensor(layer + "q_proj.weight").floats() == [0, 1, 2, 3])
    #expect(try text.weights.tensor(layer + "k_proj.weight").floats() == [4, 5, 6, 7])
    #expect(try text.weights.tensor(layer + "v_proj.bias").floats() == [4, 5])
    #expect(
      try text.weights.tensor("text_projection.weight").floats() == [0, 4, 1, 5, 2, 6, 3, 7])
    #expect(text.weights.entry("text_projection.weight")?.shape == [4, 2])
    #expect(text.config["projection_dim"] == 4)
    #expect(text.config["hidden_act"] == "gelu")
    // The rows of float8 codes share a scale, which each third keeps.
    let float8 = StoredTensor(scalingToFloat8: counted([6, 2]))
    let stacked = MemorySource(
      location: "f",
      weights.names.map { name in
        (
          name,
          name.hasSuffix("in_proj_weight") ? float8 : counted(weights.entry(name)?.shape ?? [])
        )
      })
    let narrow = try SingleFileReader().model(
      of: Archive(weights: stacked, kind: "safetensors file"), path: "f")
    let thirds = try #require(narrow["text_encoder_2"]).weights
    let found = try ["q", "k", "v"].flatMap {
      try thirds.tensor(layer + "\($0)_proj.weight").floats()
    }
    #expect(found == float8.floats())
    // Three scales cannot become one.
    let refused = message {
      _ = try CheckpointWriter().profile(WriteOptions()).tensors(
        of: narrow, options: WriteOptions())
    }
    #expect(
      refused.hasPrefix(
        "f: tensor '\(layer)q_proj.weight' is fp8, which has one scale; '"),
      "\(refused)")
    let odd = MemorySource(
      location: "f", [(prefix + "transformer.resblocks.0.attn.in_proj_weight", counted([5, 2]))])
    #expect(
      message {
        _ = try SingleFileReader().model(
          of: Archive(weights: odd, kind: "safetensors file"), path: "f")
      }
        == "f: tensor '\(prefix)transformer.resblocks.0.attn.in_proj_weight' is [5, 2], expected a "
        + "number of rows divisible by 3, for queries, keys and values")
  }
}
