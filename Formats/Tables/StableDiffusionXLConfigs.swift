/// Configs of Stable Diffusion XL as published (Podell et al. 2023, arXiv 2307.01952). Models
/// differ from the base in a few members.
package enum StableDiffusionXLConfigs {
  package static let base = ModelConfigTable(
    index: index,
    components: [
      .init(name: "text_encoder", className: "CLIPTextModel", config: textEncoder),
      .init(
        name: "text_encoder_2", className: "CLIPTextModelWithProjection", config: textEncoder2),
      .init(name: "unet", className: "UNet2DConditionModel", config: unet),
      .init(name: "vae", className: "AutoencoderKL", config: vae),
    ],
    scheduler: scheduler,
    files: [
      ("tokenizer/special_tokens_map.json", StableDiffusion1Configs.specialTokensMap),
      ("tokenizer/tokenizer_config.json", tokenizerConfig),
      ("tokenizer_2/special_tokens_map.json", specialTokensMap2),
      ("tokenizer_2/tokenizer_config.json", tokenizerConfig2),
    ])

  /// Distilled to a few steps (Sauer et al. 2023, arXiv 2311.17042).
  package static let turbo = base.changing([
    "model_index": #"{"scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"]}"#,
    "scheduler":
      #"{"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}"#,
    "unet": #"{"sample_size": 64}"#,
  ])

  /// A U-Net distilled to a few steps, which takes the guidance scale as an input (Luo et al. 2023,
  /// arXiv 2310.04378).
  package static let lcm = base.changing([
    "model_index": #"{"scheduler": ["diffusers", "LCMScheduler"]}"#,
    "scheduler": LCMConfigs.scheduler,
    "unet": #"{"time_cond_proj_dim": 256}"#,
  ])

  /// Refines the base's latents with another U-Net and the second text encoder alone.
  package static let refiner = ModelConfigTable(
    index: indexOfRefiner,
    components: base.components.filter { $0.name != "text_encoder" },
    scheduler: scheduler,
    files: base.files.filter { $0.path.hasPrefix("tokenizer_2/") }
  ).changing([
    "unet": #"""
    {
      "attention_head_dim": [6, 12, 24, 24],
      "block_out_channels": [384, 768, 1536, 1536],
      "cross_attention_dim": 1280,
      "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
      "projection_class_embeddings_input_dim": 2560,
      "transformer_layers_per_block": 4,
      "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]
    }
    """#
  ])

  // MARK: - Distilled models with fewer blocks

  /// Gupta et al. 2024, arXiv 2401.02677.
  package static let ssd1B = base.changing([
    "unet": #"""
    {
      "mid_block_type": "UNetMidBlock2D",
      "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
      "transformer_layers_per_block": [[1], [2, 2], [4, 4]]
    }
    """#
  ])

  /// Gupta et al. 2024, arXiv 2401.02677.
  package static let vega = base.changing([
    "unet": #"{"mid_block_type": "UNetMidBlock2D", "transformer_layers_per_block": [1, 1, 2]}"#
  ])

  /// Lee et al. 2023, arXiv 2312.04005.
  package static let koala700M = base.changing([
    "unet": #"""
    {
      "layers_per_block": 1,
      "mid_block_type": null,
      "transformer_layers_per_block": [0, 2, 5]
    }
    """#
  ])

  /// Lee et al. 2023, arXiv 2312.04005.
  package static let koala1B = base.changing([
    "unet": #"{"layers_per_block": 1, "transformer_layers_per_block": [0, 2, 6]}"#
  ])

  // MARK: - Texts

  static let index = #"""
    {
      "_class_name": "StableDiffusionXLPipeline",
      "_diffusers_version": "0.19.0.dev0",
      "add_watermarker": null,
      "force_zeros_for_empty_prompt": true,
      "scheduler": ["diffusers", "EulerDiscreteScheduler"],
      "text_encoder": ["transformers", "CLIPTextModel"],
      "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
      "tokenizer": ["transformers", "CLIPTokenizer"],
      "tokenizer_2": ["transformers", "CLIPTokenizer"],
      "unet": ["diffusers", "UNet2DConditionModel"],
      "vae": ["diffusers", "AutoencoderKL"]
    }
    """#

  static let indexOfRefiner = #"""
    {
      "_class_name": "StableDiffusionXLImg2ImgPipeline",
      "_diffusers_version": "0.19.0.dev0",
      "add_watermarker": null,
      "force_zeros_for_empty_prompt": false,
      "requires_aesthetics_score": true,
      "scheduler": ["diffusers", "EulerDiscreteScheduler"],
      "text_encoder": [null, null],
      "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
      "tokenizer": [null, null],
      "tokenizer_2": ["transformers", "CLIPTokenizer"],
      "unet": ["diffusers", "UNet2DConditionModel"],
      "vae": ["diffusers", "AutoencoderKL"]
    }
    """#

  static let textEncoder = #"""
    {
      "architectures": ["CLIPTextModel"],
      "attention_dropout": 0.0,
      "bos_token_id": 0,
      "dropout": 0.0,
      "eos_token_id": 2,
      "hidden_act": "quick_gelu",
      "hidden_size": 768,
      "initializer_factor": 1.0,
      "initializer_range": 0.02,
      "intermediate_size": 3072,
      "layer_norm_eps": 1e-05,
      "max_position_embeddings": 77,
      "model_type": "clip_text_model",
      "num_attention_heads": 12,
      "num_hidden_layers": 12,
      "pad_token_id": 1,
      "projection_dim": 768,
      "torch_dtype": "float16",
      "transformers_version": "4.32.0.dev0",
      "vocab_size": 49408
    }
    """#

  static let textEncoder2 = #"""
    {
      "architectures": ["CLIPTextModelWithProjection"],
      "attention_dropout": 0.0,
      "bos_token_id": 0,
      "dropout": 0.0,
      "eos_token_id": 2,
      "hidden_act": "gelu",
      "hidden_size": 1280,
      "initializer_factor": 1.0,
      "initializer_range": 0.02,
      "intermediate_size": 5120,
      "layer_norm_eps": 1e-05,
      "max_position_embeddings": 77,
      "model_type": "clip_text_model",
      "num_attention_heads": 20,
      "num_hidden_layers": 32,
      "pad_token_id": 1,
      "projection_dim": 1280,
      "torch_dtype": "float16",
      "transformers_version": "4.32.0.dev0",
      "vocab_size": 49408
    }
    """#

  static let unet = #"""
    {
      "_class_name": "UNet2DConditionModel",
      "_diffusers_version": "0.19.0.dev0",
      "act_fn": "silu",
      "addition_embed_type": "text_time",
      "addition_embed_type_num_heads": 64,
      "addition_time_embed_dim": 256,
      "attention_head_dim": [5, 10, 20],
      "block_out_channels": [320, 640, 1280],
      "center_input_sample": false,
      "class_embed_type": null,
      "class_embeddings_concat": false,
      "conv_in_kernel": 3,
      "conv_out_kernel": 3,
      "cross_attention_dim": 2048,
      "cross_attention_norm": null,
      "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
      "downsample_padding": 1,
      "dual_cross_attention": false,
      "encoder_hid_dim": null,
      "encoder_hid_dim_type": null,
      "flip_sin_to_cos": true,
      "freq_shift": 0,
      "in_channels": 4,
      "layers_per_block": 2,
      "mid_block_only_cross_attention": null,
      "mid_block_scale_factor": 1,
      "mid_block_type": "UNetMidBlock2DCrossAttn",
      "norm_eps": 1e-05,
      "norm_num_groups": 32,
      "num_attention_heads": null,
      "num_class_embeds": null,
      "only_cross_attention": false,
      "out_channels": 4,
      "projection_class_embeddings_input_dim": 2816,
      "resnet_out_scale_factor": 1.0,
      "resnet_skip_time_act": false,
      "resnet_time_scale_shift": "default",
      "sample_size": 128,
      "time_cond_proj_dim": null,
      "time_embedding_act_fn": null,
      "time_embedding_dim": null,
      "time_embedding_type": "positional",
      "timestep_post_act": null,
      "transformer_layers_per_block": [1, 2, 10],
      "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
      "upcast_attention": null,
      "use_linear_projection": true
    }
    """#

  static let vae = #"""
    {
      "_class_name": "AutoencoderKL",
      "_diffusers_version": "0.20.0.dev0",
      "_name_or_path": "../sdxl-vae/",
      "act_fn": "silu",
      "block_out_channels": [128, 256, 512, 512],
      "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
      "force_upcast": true,
      "in_channels": 3,
      "latent_channels": 4,
      "layers_per_block": 2,
      "norm_num_groups": 32,
      "out_channels": 3,
      "sample_size": 1024,
      "scaling_factor": 0.13025,
      "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]
    }
    """#

  package static let scheduler = #"""
    {
      "_class_name": "EulerDiscreteScheduler",
      "_diffusers_version": "0.19.0.dev0",
      "beta_end": 0.012,
      "beta_schedule": "scaled_linear",
      "beta_start": 0.00085,
      "clip_sample": false,
      "interpolation_type": "linear",
      "num_train_timesteps": 1000,
      "prediction_type": "epsilon",
      "sample_max_value": 1.0,
      "set_alpha_to_one": false,
      "skip_prk_steps": true,
      "steps_offset": 1,
      "timestep_spacing": "leading",
      "trained_betas": null,
      "use_karras_sigmas": false
    }
    """#

  package static let tokenizerConfig = #"""
    {
      "add_prefix_space": false,
      "bos_token": {"__type": "AddedToken", "content": "<|startoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "clean_up_tokenization_spaces": true,
      "do_lower_case": true,
      "eos_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "errors": "replace",
      "model_max_length": 77,
      "pad_token": "<|endoftext|>",
      "tokenizer_class": "CLIPTokenizer",
      "unk_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false}
    }
    """#

  package static let specialTokensMap2 = StableDiffusion2Configs.specialTokensMap

  package static let tokenizerConfig2 = #"""
    {
      "add_prefix_space": false,
      "bos_token": {"__type": "AddedToken", "content": "<|startoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "clean_up_tokenization_spaces": true,
      "do_lower_case": true,
      "eos_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "errors": "replace",
      "model_max_length": 77,
      "pad_token": "!",
      "tokenizer_class": "CLIPTokenizer",
      "unk_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false}
    }
    """#
}
