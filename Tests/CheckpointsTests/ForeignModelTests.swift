import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Models and files that are named for what they are, because Decant does not read them.
struct ForeignModelTests {
  /// A few tensors of each kind of file, as the programs name them, and the kind.
  private static let files: [(tensors: [(String, Shape)], kind: String)] = [
    ([("distilled_guidance_layer.in_proj.bias", [2]), ("double_blocks.0.x", [2])], "Chroma"),
    (
      [("double_stream_modulation_img.lin.weight", [2]), ("double_blocks.0.img_attn.x", [2])],
      "Flux 2"
    ),
    (
      [
        ("txt_in.individual_token_refiner.blocks.0.norm1.weight", [2]), ("double_blocks.0.x", [2]),
        ("single_blocks.0.x", [2]),
      ], "HunyuanVideo"
    ),
    (
      [
        ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", [2, 2]),
        ("model.diffusion_model.context_embedder.weight", [2, 2]),
        ("first_stage_model.decoder.conv_in.weight", [4, 16, 3, 3]),
      ], "Stable Diffusion 3"
    ),
    (
      [("joint_blocks.0.x_block.attn.qkv.weight", [2]), ("x_embedder.proj.weight", [2])],
      "Stable Diffusion 3"
    ),
    ([("double_blocks.0.img_attn.x", [2]), ("single_blocks.0.linear1.weight", [2])], "Flux"),
    (
      [("single_transformer_blocks.0.attn.x", [2]), ("context_embedder.weight", [2])], "Flux"
    ),
    ([("double_layers.0.attn.w1q.weight", [2]), ("single_layers.0.x", [2])], "AuraFlow"),
    ([("joint_transformer_blocks.0.attn.to_q.weight", [2])], "AuraFlow"),
    (
      [("transformer_blocks.0.attn.to_q.weight", [2]), ("context_embedder.weight", [2])],
      "Stable Diffusion 3"
    ),
    ([("patchify_proj.weight", [2]), ("adaln_single.x", [2])], "LTX-Video"),
    ([("caption_norm.weight", [2]), ("caption_projection.linear_1.weight", [2])], "Sana"),
    (
      [
        ("blocks.0.cross_attn.q_linear.weight", [2]), ("y_embedder.y_proj.fc1.weight", [2]),
        ("blocks.0.attn.proj.weight", [2]),
      ], "Sana"
    ),
    ([("adaln_single.linear.weight", [2]), ("caption_projection.linear_1.weight", [2])], "PixArt"),
    ([("t_block.1.weight", [2]), ("y_embedder.y_embedding", [2])], "PixArt"),
    ([("text_embedding_padding", [2])], "Hunyuan-DiT"),
    ([("mlp_t5.0.weight", [2])], "Hunyuan-DiT"),
    ([("noise_refiner.0.x", [2]), ("cap_pad_token", [2])], "Z-Image"),
    ([("noise_refiner.0.x", [2]), ("context_refiner.0.x", [2])], "Lumina"),
    ([("transformer_blocks.0.x", [2]), ("txt_norm.weight", [2])], "Qwen-Image"),
    ([("double_stream_blocks.0.block.x", [2])], "HiDream"),
    ([("t5_yproj.weight", [2])], "Mochi"),
    ([("patch_embedding.weight", [2]), ("time_projection.1.weight", [2])], "Wan"),
    ([("head.modulation", [2])], "Wan"),
    (
      [
        ("model.diffusion_model.blocks.0.self_attn.q.weight", [2]),
        ("model.diffusion_model.blocks.0.ffn.0.weight", [2]),
      ], "Wan"
    ),
    ([("patch_embedding.weight", [8, 16, 1, 2, 2]), ("text_embedding.0.weight", [2])], "Wan"),
    (
      [("condition_embedder.time_proj.weight", [2]), ("blocks.0.attn1.to_q.weight", [2])], "Wan"
    ),
    ([("model.model.transformer.rotary_pos_emb.inv_freq", [2])], "Stable Audio"),
    ([("clip_txt_mapper.weight", [2])], "Stable Cascade"),
    ([("down_blocks.1.0.channelwise.0.weight", [2])], "Stable Cascade"),
    ([("visual_transformer_blocks.0.x", [2])], "Kandinsky 5"),
    ([("add_embedding.image_proj.weight", [2]), ("conv_in.weight", [2])], "Kandinsky 2"),
    ([("add_embedding.pool.k_proj.weight", [2])], "DeepFloyd IF"),
    ([("add_time_condition.context_proj.weight", [2])], "Kandinsky 3"),
    ([("encoder_hid_proj.weight", [2]), ("conv_in.weight", [2, 4, 3, 3])], "Kolors"),
    (
      [
        ("model.diffusion_model.input_blocks.0.0.weight", [8, 8, 3, 3]),
        ("model.diffusion_model.input_blocks.1.1.time_stack.0.attn1.to_q.weight", [2]),
      ], "Stable Video Diffusion"
    ),
    (
      [
        ("conv_in.weight", [8, 8, 3, 3]),
        ("down_blocks.0.attentions.0.temporal_transformer_blocks.0.x", [2]),
      ], "Stable Video Diffusion"
    ),
    ([("down_blocks.0.temp_attentions.0.x", [2])], "ModelScope's text to video"),
    ([("down_blocks.0.motion_modules.0.x", [2])], "an AnimateDiff motion module"),
    ([("down_blocks.0.x.fuser.x", [2]), ("position_net.linears.0.weight", [2])], "GLIGEN"),
    (
      [
        ("model.diffusion_model.input_blocks.0.0.weight", [8, 4, 3, 3]),
        ("noise_augmentor.data_mean", [1, 2]),
      ], "Stable unCLIP"
    ),
    ([("control_model.input_hint_block.0.weight", [2])], "a ControlNet"),
    (
      [
        ("controlnet_cond_embedding.conv_in.weight", [2]), ("conv_in.weight", [8, 4, 3, 3]),
        ("down_blocks.0.resnets.0.conv1.weight", [8, 8, 3, 3]),
      ], "a ControlNet"
    ),
    ([("controlnet_down_blocks.0.weight", [2])], "a ControlNet"),
    (
      [("controlnet_mid_block.weight", [2]), ("conv_in.weight", [8, 4, 3, 3])], "a ControlNet"
    ),
    (
      [
        ("control_model.time_embed.0.weight", [2]),
        ("control_model.input_blocks.0.0.weight", [8, 4, 3, 3]),
      ], "a ControlNet"
    ),
    ([("zero_convs.0.0.weight", [2]), ("time_embed.0.weight", [2])], "a ControlNet"),
    (
      [("controlnet_blocks.0.weight", [2]), ("transformer_blocks.0.attn.to_q.weight", [2])],
      "a ControlNet"
    ),
    ([("lllite_unet_input_blocks_4_1.down.0.weight", [2])], "a ControlNet-LLLite"),
    (
      [("image_proj.proj.weight", [2]), ("ip_adapter.1.to_k_ip.weight", [2])], "an IP-Adapter"
    ),
    ([("body.0.block1.weight", [2])], "a T2I-Adapter"),
    ([("adapter.body.0.resnets.0.block1.weight", [2])], "a T2I-Adapter"),
    ([("emb_params", [1, 768])], "a textual inversion"),
    ([("string_to_param.*", [1, 768])], "a textual inversion"),
    ([("clip_g", [1, 1280]), ("clip_l", [1, 768])], "a textual inversion"),
    ([("<cat-toy>", [1, 768])], "a textual inversion"),
    ([("taesd_decoder.1.weight", [64, 4, 3, 3])], "TAESD"),
    ([("1.weight", [64, 4, 3, 3]), ("3.conv.0.weight", [64, 64, 3, 3])], "TAESD"),
    ([("0.weight", [64, 3, 3, 3]), ("1.conv.0.weight", [64, 64, 3, 3])], "TAESD"),
    (
      [("decoder.layers.0.weight", [64, 4, 3, 3]), ("decoder.layers.2.conv.0.weight", [2])],
      "TAESD"
    ),
    (
      [("encoder.layers.0.weight", [64, 3, 3, 3]), ("encoder.layers.1.conv.0.weight", [2])],
      "TAESD"
    ),
    ([("3.conv.0.weight", [64, 64, 3, 3]), ("3.conv.0.bias", [64])], "TAESD"),
    ([("1.conv.0.weight", [64, 64, 3, 3]), ("1.conv.0.bias", [64])], "TAESD"),
    ([("decoder.layers.0.weight", [64, 4, 3, 3]), ("decoder.layers.0.bias", [64])], "TAESD"),
    ([("encoder.layers.0.weight", [64, 3, 3, 3]), ("encoder.layers.0.bias", [64])], "TAESD"),
    ([("decoder.middle.0.residual.0.gamma", [2])], "a Wan or Qwen-Image VAE"),
    ([("decoder.norm_out.gamma", [2])], "a Wan or Qwen-Image VAE"),
    ([("per_channel_statistics.mean-of-means", [2])], "an LTX-Video VAE"),
    ([("encoder.project_in.conv.weight", [2])], "a DC-AE"),
    ([("decoder.up_blocks.0.resnets.0.temporal_res_block.x", [2])], "a VAE of videos"),
    ([("decoder.condition_encoder.layers.0.weight", [2])], "an asymmetric VAE"),
    ([("quantize.embedding.weight", [2]), ("decoder.conv_in.weight", [2])], "a VQ autoencoder"),
    ([("decoder.conv_in.weight", [8, 4, 3, 3, 3])], "a VAE of videos"),
    ([("decoder.conv_in.conv.weight", [8, 4, 3, 3, 3])], "a VAE of videos"),
    ([("decoder.conv_in.weight", [8, 16, 3, 3])], "a Flux or SD 3 VAE"),
    ([("decoder.conv_in.weight", [8, 32, 3, 3])], "a Flux 2 VAE"),
    ([("encoder.block.0.layer.0.SelfAttention.q.weight", [2])], "a T5 text encoder"),
    ([("enc.blk.0.attn_q.weight", [2])], "a T5 text encoder"),
    ([("special_care_embeds", [2]), ("vision_model.x", [2])], "a safety checker"),
    ([("vision_model.encoder.layers.0.mlp.fc1.weight", [2])], "a CLIP image encoder"),
    ([("visual.transformer.resblocks.0.mlp.c_fc.weight", [2])], "a CLIP image encoder"),
    ([("model.layers.0.self_attn.q_proj.weight", [2])], "a language model"),
    ([("blk.0.attn_q.weight", [2])], "a language model"),
    (
      [("transformer.encoder.layers.0.self_attention.query_key_value.weight", [2])],
      "a language model"
    ),
    ([("conv_first.weight", [2]), ("conv_last.weight", [2])], "an upscaler"),
    ([("model.1.sub.0.RDB1.conv1.0.weight", [2])], "an upscaler"),
    ([("layers.0.residual_group.blocks.0.x", [2])], "an upscaler"),
  ]

  @Test(arguments: files) func filesAreNamed(tensors: [(String, Shape)], kind: String) throws {
    let archive = Archive(
      weights: MemorySource(
        location: "f",
        tensors.map {
          ($0.0, StoredTensor(shape: $0.1, floats: [Float](repeating: 0, count: $0.1.count)))
        }), kind: "safetensors file")
    let error = #expect(throws: SingleFileError.self) {
      try SingleFileReader().model(of: archive, path: "f")
    }
    let said = error?.description ?? ""
    #expect(said.hasPrefix("f: a safetensors file of \(kind), "), "\(said)")
    guard case .act = error?.remedy else {
      Issue.record("\(said): no remedy")
      return
    }
  }

  /// A hypernetwork has lists of tensors, which are not read as such.
  @Test func hypernetworksAreNamed() {
    let error = TorchError.noTensors(path: "f.pt", found: ["320", "layer_structure", "step"])
    #expect(
      error.description
        == "f.pt: a hypernetwork, an addition to a model; it holds 320, layer_structure and step")
    #expect(error.remedy == .act("keep it as it is and use it beside the converted model"))
    let other = TorchError.noTensors(path: "f.pt", found: ["a"])
    #expect(other.description == "f.pt: no tensors; the file holds a")
    #expect(other.remedy == nil)
  }

  /// What the models that are read have in common with other kinds names none of them.
  @Test func supportedModelsAreNotNamed() throws {
    for file in ["mini-sd", "mini-sdxl"] {
      let model = try DiffusersFolderReader().read(fixture(file), options: ReadOptions())
      #expect(model.components.foreign == nil)
      for component in model.components {
        #expect(ForeignKind(component.weights) == nil, "\(file) \(component.name)")
      }
      try withTemporaryFolder { folder in
        try CheckpointWriter().write(model, to: folder + "/a.safetensors")
        let file = try Archives.open(folder + "/a.safetensors")
        #expect(ForeignKind(file.weights) == nil)
      }
    }
    for name in [
      "StableDiffusionPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionXLPipeline",
      "StableDiffusionXLImg2ImgPipeline", "StableDiffusionControlNetPipeline",
      "StableDiffusionAdapterPipeline", "LatentConsistencyModelPipeline", "UNet2DConditionModel",
      "AutoencoderKL", "CLIPTextModel", "CLIPTextModelWithProjection",
    ] { #expect(ForeignKind(ofClass: name) == nil, "\(name)") }
  }

  // MARK: - Folders

  /// Classes of pipelines, and the kinds.
  @Test(arguments: [
    ("StableDiffusion3Pipeline", "Stable Diffusion 3"),
    ("StableVideoDiffusionPipeline", "Stable Video Diffusion"),
    ("StableDiffusionInstructPix2PixPipeline", "InstructPix2Pix"),
    ("StableDiffusionXLInstructPix2PixPipeline", "InstructPix2Pix"),
    ("StableDiffusionDepth2ImgPipeline", "Stable Diffusion 2 with depth"),
    ("StableDiffusionUpscalePipeline", "the Stable Diffusion x4 upscaler"),
    ("StableDiffusionLatentUpscalePipeline", "the Stable Diffusion x2 upscaler"),
    ("StableDiffusionImageVariationPipeline", "Stable Diffusion for image variations"),
    ("StableDiffusionGLIGENPipeline", "GLIGEN"), ("StableUnCLIPImg2ImgPipeline", "Stable unCLIP"),
    ("UnCLIPPipeline", "unCLIP"), ("PaintByExamplePipeline", "Paint by Example"),
    ("MarigoldDepthPipeline", "Marigold"), ("KolorsPipeline", "Kolors"),
    ("AltDiffusionPipeline", "AltDiffusion"), ("AnimateDiffPipeline", "AnimateDiff"),
    ("FluxPipeline", "Flux"), ("PixArtSigmaPipeline", "PixArt"), ("SanaPipeline", "Sana"),
    ("HunyuanDiTPipeline", "Hunyuan-DiT"), ("Lumina2Pipeline", "Lumina"),
    ("QwenImagePipeline", "Qwen-Image"), ("WanPipeline", "Wan"),
    ("StableCascadePriorPipeline", "Stable Cascade"), ("KandinskyV22Pipeline", "Kandinsky"),
    ("IFPipeline", "DeepFloyd IF"),
  ]) func pipelinesAreNamed(className: String, kind: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.write(
        TinyFolder.index.replacing("\"StableDiffusionPipeline\"", with: "\"\(className)\""),
        "model_index.json")
      #expect(
        tiny.refusal().hasPrefix(
          "model/model_index.json: '\(className)' is the class of \(kind), "), "\(tiny.refusal())")
    }
  }

  /// Classes of components, in a pipeline of an unknown class.
  @Test(arguments: [
    ("vae", "AutoencoderKL", "AutoencoderTiny", "TAESD"),
    ("vae", "AutoencoderKL", "AutoencoderKLWan", "a Wan VAE"),
    ("vae", "AutoencoderKL", "AutoencoderKLQwenImage", "a Qwen-Image VAE"),
    ("vae", "AutoencoderKL", "AutoencoderKLTemporalDecoder", "a VAE of videos"),
    ("text_encoder", "CLIPTextModel", "T5EncoderModel", "a T5 text encoder"),
    ("text_encoder", "CLIPTextModel", "ChatGLMModel", "the language model of Kolors"),
    ("unet", "UNet2DConditionModel", "UNetMotionModel", "AnimateDiff"),
    ("unet", "UNet2DConditionModel", "UNetSpatioTemporalConditionModel", "a U-Net of videos"),
    ("unet", "UNet2DConditionModel", "Kandinsky3UNet", "Kandinsky"),
  ]) func componentsAreNamed(name: String, usual: String, className: String, kind: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.write(
        TinyFolder.index.replacing("\"\(usual)\"", with: "\"\(className)\""), "model_index.json")
      #expect(
        tiny.refusal().hasPrefix(
          "model/model_index.json: '\(className)' is the class of \(kind), "), "\(tiny.refusal())")
    }
  }

  @Test func transformersAreNamedBeforeWhatIsMissing() throws {
    try withTemporaryFolder { folder in
      try write(
        #"{"_class_name": "MyPipeline", "transformer": ["diffusers", "SD3Transformer2DModel"]}"#,
        to: folder + "/m/model_index.json")
      #expect(
        message { _ = try Readers.all.read(folder + "/m") }
          == "\(folder)/m/model_index.json: 'SD3Transformer2DModel' is the class of Stable "
          + "Diffusion 3, a diffusion transformer without a U-Net")
    }
  }

  /// The folder of one component.
  @Test(arguments: [
    ("ControlNetModel", "a ControlNet"), ("T2IAdapter", "a T2I-Adapter"),
    ("MotionAdapter", "an AnimateDiff motion module"), ("FluxTransformer2DModel", "Flux"),
    ("PriorTransformer", "a prior"), ("UNet2DModel", "a U-Net without text"),
    ("AutoencoderDC", "a DC-AE"), ("ConsistencyDecoderVAE", "a consistency decoder"),
    ("VQModel", "a VQ autoencoder"), ("AsymmetricAutoencoderKL", "an asymmetric VAE"),
    ("CLIPVisionModelWithProjection", "a CLIP image encoder"),
    ("StableDiffusionSafetyChecker", "a safety checker"),
  ]) func foldersOfComponentsAreNamed(className: String, kind: String) throws {
    try withTemporaryFolder { folder in
      try write(#"{"_class_name": "\#(className)"}"#, to: folder + "/m/config.json")
      try writeSafetensors(
        MemorySource(location: "test", [("a", counting([1]))]),
        to: folder + "/m/diffusion_pytorch_model.safetensors")
      let said = message { _ = try Readers.all.read(folder + "/m") }
      #expect(
        said.hasPrefix("\(folder)/m/config.json: '\(className)' is the class of \(kind), "),
        "\(said)")
    }
  }
}
