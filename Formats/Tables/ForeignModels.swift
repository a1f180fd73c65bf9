/// Kinds of tensor files that Decant does not read, with the tensors that identify them, so that
/// error messages can say what a file is. One line a mark; ``ForeignClasses`` has those of configs.
package enum ForeignModels {
  /// A kind with one of its marks.
  package struct Kind: Sendable {
    package let name: String
    package let nature: Nature
    package let mark: Mark

    init(_ name: String, _ nature: Nature, _ mark: Mark) {
      (self.name, self.nature, self.mark) = (name, nature, mark)
    }

    /// The kind in messages: `Flux, a diffusion transformer without a U-Net`.
    package var description: String { "\(name), \(nature.rawValue)" }
  }

  /// What a kind is, as an apposition or a relative clause.
  package enum Nature: String, Sendable {
    case transformer = "a diffusion transformer without a U-Net"
    case stages = "a pipeline with other stages"
    case video = "a model of videos"
    case sound = "a model of sound"
    case pixels = "a model of pixels without an autoencoder"
    case otherText = "whose U-Net takes the states of another text encoder"
    case image = "whose U-Net takes an image beside the latents"
    case imageEmbedding = "whose U-Net takes the embedding of an image"
    case depth = "whose U-Net takes a depth map beside the latents"
    case boxes = "whose U-Net takes boxes with texts"
    case addition = "an addition to a model"
    case embedding = "token embeddings for a text encoder"
    case otherLatents = "an autoencoder of latents that no supported family has"
    case smallAutoencoder = "a small autoencoder for previews"
    case unused = "which no supported family has"
    case language = "which generates text"
    case upscaler = "which works on pixels"
    case checker = "which no step of making an image needs"

    /// What can be done with a file of that nature, as a clause.
    package var remedy: String {
      switch self {
      case _ where isBesideModel:
        "keep it as it is and use it beside the converted model"
      case .otherLatents, .smallAutoencoder:
        "use the autoencoder of a Stable Diffusion 1, 2 or XL model"
      case .upscaler, .language, .unused: "keep it as it is"
      default: "use a Stable Diffusion 1, 2 or XL model that makes images from text"
      }
    }

    /// Whether programs load a file of that nature in addition to a model.
    package var isBesideModel: Bool {
      switch self {
      case .addition, .embedding, .checker: true
      default: false
      }
    }

    /// Whether models of that nature have the U-Net of Stable Diffusion with further tensors. A reader
    /// that left those out would read another model.
    package var changesUNet: Bool {
      switch self {
      case .video, .otherText, .imageEmbedding, .boxes: true
      default: false
      }
    }
  }

  package enum Mark: Sendable {
    /// Texts that each occur in the name of a tensor, not all in the same name. `^` stands for the
    /// beginning of the name, `$` for its end.
    case tensors([String])
    /// The extent along an axis of the tensor whose name ends so.
    case extent(String, axis: Int, Int)
    /// The number of axes of the tensor whose name ends so.
    case rank(String, Int)
    /// The beginning of the class of a pipeline or a component.
    case type(String)
    /// A member of a component's config and its value in JSON; `nil` for any value but null.
    case member(component: String, String, String?)

    static func tensors(_ texts: String...) -> Mark { .tensors(texts) }

    static func unet(_ member: String, _ value: String?) -> Mark {
      .member(component: "unet", member, value)
    }
  }

  /// The kinds with marks of tensors, in the order in which they are tried. A kind whose files also have
  /// the marks of another kind precedes it. Where no other source is stated, the marks are from
  /// ComfyUI's comfy/model_detection.py and comfy/sd.py, and from diffusers'
  /// loaders/single_file_utils.py (2026).
  package static let byTensors: [Kind] = [
    // diffusers, models/controlnets/controlnet_sd3.py and controlnet_flux.py
    Kind("a ControlNet", .addition, .tensors("controlnet_blocks.")),
    Kind("Chroma", .transformer, .tensors("distilled_guidance_layer.")),
    Kind("Flux 2", .transformer, .tensors("double_stream_modulation_img.")),
    Kind("HunyuanVideo", .video, .tensors("txt_in.individual_token_refiner.")),
    Kind("Stable Diffusion 3", .transformer, .tensors("joint_blocks.")),
    Kind("Flux", .transformer, .tensors("double_blocks.", "single_blocks.")),
    Kind("Flux", .transformer, .tensors("single_transformer_blocks.", "context_embedder.")),
    Kind("AuraFlow", .transformer, .tensors("double_layers.", "single_layers.")),
    // diffusers, models/transformers/auraflow_transformer_2d.py
    Kind("AuraFlow", .transformer, .tensors("joint_transformer_blocks.")),
    Kind("Stable Diffusion 3", .transformer, .tensors("transformer_blocks.", "context_embedder.")),
    Kind("LTX-Video", .video, .tensors("patchify_proj.")),
    // diffusers, models/transformers/sana_transformer.py
    Kind("Sana", .transformer, .tensors("caption_norm.", "caption_projection.")),
    Kind(
      "Sana", .transformer, .tensors(".cross_attn.q_linear.", "y_embedder.y_proj.", "attn.proj.")),
    Kind("PixArt", .transformer, .tensors("adaln_single.", "caption_projection.")),
    Kind("PixArt", .transformer, .tensors("t_block.1.", "y_embedder.")),
    Kind("Hunyuan-DiT", .transformer, .tensors("text_embedding_padding")),
    Kind("Hunyuan-DiT", .transformer, .tensors("mlp_t5.")),
    Kind("Z-Image", .transformer, .tensors("noise_refiner.", "cap_pad_token")),
    Kind("Lumina", .transformer, .tensors("noise_refiner.", "context_refiner.")),
    Kind("Qwen-Image", .transformer, .tensors("transformer_blocks.", "txt_norm.")),
    Kind("HiDream", .transformer, .tensors("double_stream_blocks.")),
    Kind("Mochi", .video, .tensors("t5_yproj.")),
    Kind("Wan", .video, .tensors("patch_embedding.", "time_projection.")),
    Kind("Wan", .video, .tensors("head.modulation")),
    Kind("Wan", .video, .tensors("blocks.0.self_attn.q.")),
    Kind("Wan", .video, .rank("patch_embedding.weight", 5)),
    // diffusers, models/transformers/transformer_wan.py
    Kind("Wan", .video, .tensors("condition_embedder.time_proj.")),
    Kind("Stable Audio", .sound, .tensors("transformer.rotary_pos_emb.inv_freq")),
    Kind("Stable Cascade", .stages, .tensors("clip_txt_mapper.")),
    Kind("Stable Cascade", .stages, .tensors("down_blocks.1.0.channelwise.")),
    Kind("Kandinsky 5", .transformer, .tensors("visual_transformer_blocks.")),
    // diffusers, models/embeddings.py, ImageTimeEmbedding and TextTimeEmbedding
    Kind("Kandinsky 2", .imageEmbedding, .tensors("add_embedding.image_proj.")),
    Kind("DeepFloyd IF", .pixels, .tensors("add_embedding.pool.")),
    // diffusers, models/unets/unet_kandinsky3.py
    Kind("Kandinsky 3", .otherText, .tensors("add_time_condition.")),
    // diffusers, models/unets/unet_2d_condition.py, encoder_hid_dim_type "text_proj"
    Kind("Kolors", .otherText, .tensors("encoder_hid_proj.weight$")),
    Kind("Stable Video Diffusion", .video, .tensors(".time_stack.")),
    Kind("Stable Video Diffusion", .video, .tensors(".temporal_transformer_blocks.")),
    Kind("an AnimateDiff motion module", .addition, .tensors(".motion_modules.")),
    // diffusers, models/unets/unet_3d_blocks.py
    Kind("ModelScope's text to video", .video, .tensors(".temp_attentions.")),
    // gligen, ldm/modules/attention.py
    Kind("GLIGEN", .boxes, .tensors(".fuser.", "position_net.")),
    // stablediffusion, ldm/models/diffusion/ddpm.py
    Kind("Stable unCLIP", .imageEmbedding, .tensors("^noise_augmentor.")),
    Kind("a ControlNet", .addition, .tensors("input_hint_block")),
    Kind("a ControlNet", .addition, .tensors("controlnet_cond_embedding.")),
    Kind("a ControlNet", .addition, .tensors("controlnet_down_blocks.")),
    Kind("a ControlNet", .addition, .tensors("controlnet_mid_block.")),
    Kind("a ControlNet", .addition, .tensors("^control_model.")),
    Kind("a ControlNet", .addition, .tensors("zero_convs.")),
    // sd-scripts, networks/control_net_lllite.py
    Kind("a ControlNet-LLLite", .addition, .tensors("^lllite_")),
    Kind("an IP-Adapter", .addition, .tensors("image_proj.", "ip_adapter.")),
    Kind("a T2I-Adapter", .addition, .tensors("body.0.block1.")),
    Kind("a T2I-Adapter", .addition, .tensors("body.0.resnets.0.block1.")),
    // stable-diffusion-webui, modules/hypernetworks/hypernetwork.py
    Kind("a hypernetwork", .addition, .tensors("^layer_structure$")),
    // stable-diffusion-webui, modules/textual_inversion; diffusers, loaders/textual_inversion.py
    Kind("a textual inversion", .embedding, .tensors("^emb_params")),
    Kind("a textual inversion", .embedding, .tensors("string_to_param")),
    Kind("a textual inversion", .embedding, .tensors("^clip_g$", "^clip_l$")),
    Kind("a textual inversion", .embedding, .tensors("^<")),
    Kind("TAESD", .smallAutoencoder, .tensors("^taesd_")),
    Kind("TAESD", .smallAutoencoder, .tensors("^3.conv.0.weight$")),
    Kind("TAESD", .smallAutoencoder, .tensors("^1.conv.0.weight$")),
    // diffusers, models/autoencoders/autoencoder_tiny.py
    Kind("TAESD", .smallAutoencoder, .tensors("^decoder.layers.", ".conv.0.weight$")),
    Kind("TAESD", .smallAutoencoder, .tensors("^encoder.layers.", ".conv.0.weight$")),
    Kind("TAESD", .smallAutoencoder, .tensors("^decoder.layers.0.weight$")),
    Kind("TAESD", .smallAutoencoder, .tensors("^encoder.layers.0.weight$")),
    Kind("a Wan or Qwen-Image VAE", .otherLatents, .tensors("decoder.middle.0.residual.")),
    Kind("a Wan or Qwen-Image VAE", .otherLatents, .tensors("decoder.norm_out.gamma")),
    Kind("an LTX-Video VAE", .otherLatents, .tensors("per_channel_statistics.")),
    Kind("a DC-AE", .otherLatents, .tensors("encoder.project_in.")),
    // diffusers, models/autoencoders/autoencoder_kl_temporal_decoder.py and …_asym_kl.py
    Kind("a VAE of videos", .otherLatents, .tensors("decoder.", ".temporal_res_block.")),
    Kind("an asymmetric VAE", .otherLatents, .tensors("decoder.condition_encoder.")),
    Kind("a VQ autoencoder", .otherLatents, .tensors("quantize.embedding.")),
    Kind("a VAE of videos", .otherLatents, .rank("decoder.conv_in.weight", 5)),
    Kind("a VAE of videos", .otherLatents, .rank("decoder.conv_in.conv.weight", 5)),
    Kind("a Flux or SD 3 VAE", .otherLatents, .extent("decoder.conv_in.weight", axis: 1, 16)),
    Kind("a Flux 2 VAE", .otherLatents, .extent("decoder.conv_in.weight", axis: 1, 32)),
    Kind("a T5 text encoder", .unused, .tensors("layer.0.SelfAttention.")),
    Kind("a T5 text encoder", .unused, .tensors("enc.blk.0.")),
    // diffusers, pipelines/stable_diffusion/safety_checker.py
    Kind("a safety checker", .checker, .tensors("special_care_embeds")),
    Kind("a CLIP image encoder", .unused, .tensors("vision_model.")),
    Kind("a CLIP image encoder", .unused, .tensors("visual.transformer.resblocks.")),
    Kind("a language model", .language, .tensors("model.layers.0.self_attn.")),
    Kind("a language model", .language, .tensors("blk.0.attn_q.")),
    Kind("a language model", .language, .tensors("self_attention.query_key_value.")),
    // Real-ESRGAN, SwinIR and chaiNNer's spandrel/architectures
    Kind("an upscaler", .upscaler, .tensors("conv_first.", "conv_last.")),
    Kind("an upscaler", .upscaler, .tensors("model.1.sub.0.")),
    Kind("an upscaler", .upscaler, .tensors("layers.0.residual_group.")),
  ]

  /// The kinds with marks of tensors that change a U-Net; see ``Nature/changesUNet``.
  package static let ofUNets = byTensors.filter(\.nature.changesUNet)

  /// Name endings of the tensors whose shapes are most characteristic of a model.
  package static let characteristic = [
    "input_blocks.0.0.weight", "conv_in.weight", "attn2.to_k.weight", "label_emb.0.0.weight",
    "add_embedding.linear_1.weight", "x_embedder.proj.weight", "context_embedder.weight",
    "img_in.weight", "txt_in.weight", "patch_embedding.weight", "patch_embed.proj.weight",
    "quant_conv.weight", "token_embedding.weight", "shared.weight",
  ]
}
