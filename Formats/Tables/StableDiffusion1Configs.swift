/// Configs of Stable Diffusion 1.x as published, without the safety checker and its feature
/// extractor.
package enum StableDiffusion1Configs {
  package static let v14 = table(
    index: index, textEncoder: textEncoder14, unet: unet14, vae: vae14)

  package static let v15 = table(
    index: index, textEncoder: textEncoder15, unet: unet15, vae: vae15
  ).changing(["model_index": #"{"_diffusers_version": "0.6.0"}"#])

  package static let v15Inpainting = v15.changing([
    "model_index": #"""
    {
      "_class_name": "StableDiffusionInpaintPipeline",
      "scheduler": ["diffusers", "DDIMScheduler"]
    }
    """#,
    "scheduler": #"{"_class_name": "DDIMScheduler"}"#,
    "unet": #"{"in_channels": 9}"#,
    "vae": #"{"sample_size": 256}"#,
  ])

  private static func table(
    index: String, textEncoder: String, unet: String, vae: String
  ) -> ModelConfigTable {
    ModelConfigTable(
      index: index,
      components: [
        .init(name: "text_encoder", className: "CLIPTextModel", config: textEncoder),
        .init(name: "unet", className: "UNet2DConditionModel", config: unet),
        .init(name: "vae", className: "AutoencoderKL", config: vae),
      ],
      scheduler: scheduler,
      files: [
        ("tokenizer/special_tokens_map.json", specialTokensMap),
        ("tokenizer/tokenizer_config.json", tokenizerConfig),
      ])
  }

  static let index = #"""
    {
      "_class_name": "StableDiffusionPipeline",
      "_diffusers_version": "0.2.2",
      "feature_extractor": [null, null],
      "safety_checker": [null, null],
      "scheduler": ["diffusers", "PNDMScheduler"],
      "text_encoder": ["transformers", "CLIPTextModel"],
      "tokenizer": ["transformers", "CLIPTokenizer"],
      "unet": ["diffusers", "UNet2DConditionModel"],
      "vae": ["diffusers", "AutoencoderKL"],
      "requires_safety_checker": false
    }
    """#

  static let textEncoder14 = #"""
    {
      "_name_or_path": "openai/clip-vit-large-patch14",
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
      "torch_dtype": "float32",
      "transformers_version": "4.21.0.dev0",
      "vocab_size": 49408
    }
    """#

  static let unet14 = #"""
    {
      "_class_name": "UNet2DConditionModel",
      "_diffusers_version": "0.12.0.dev0",
      "act_fn": "silu",
      "attention_head_dim": 8,
      "block_out_channels": [320, 640, 1280, 1280],
      "center_input_sample": false,
      "class_embed_type": null,
      "cross_attention_dim": 768,
      "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
      "downsample_padding": 1,
      "dual_cross_attention": false,
      "flip_sin_to_cos": true,
      "freq_shift": 0,
      "in_channels": 4,
      "layers_per_block": 2,
      "mid_block_scale_factor": 1,
      "mid_block_type": "UNetMidBlock2DCrossAttn",
      "norm_eps": 1e-05,
      "norm_num_groups": 32,
      "num_class_embeds": null,
      "only_cross_attention": false,
      "out_channels": 4,
      "resnet_time_scale_shift": "default",
      "sample_size": 64,
      "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
      "upcast_attention": false,
      "use_linear_projection": false
    }
    """#

  static let vae14 = #"""
    {
      "_class_name": "AutoencoderKL",
      "_diffusers_version": "0.2.2",
      "act_fn": "silu",
      "block_out_channels": [128, 256, 512, 512],
      "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
      "in_channels": 3,
      "latent_channels": 4,
      "layers_per_block": 2,
      "out_channels": 3,
      "sample_size": 512,
      "scaling_factor": 0.18215,
      "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]
    }
    """#

  static let textEncoder15 = #"""
    {
      "_name_or_path": "openai/clip-vit-large-patch14",
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
      "torch_dtype": "float32",
      "transformers_version": "4.22.0.dev0",
      "vocab_size": 49408
    }
    """#

  static let unet15 = #"""
    {
      "_class_name": "UNet2DConditionModel",
      "_diffusers_version": "0.6.0",
      "act_fn": "silu",
      "attention_head_dim": 8,
      "block_out_channels": [320, 640, 1280, 1280],
      "center_input_sample": false,
      "cross_attention_dim": 768,
      "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
      "downsample_padding": 1,
      "flip_sin_to_cos": true,
      "freq_shift": 0,
      "in_channels": 4,
      "layers_per_block": 2,
      "mid_block_scale_factor": 1,
      "norm_eps": 1e-05,
      "norm_num_groups": 32,
      "out_channels": 4,
      "sample_size": 64,
      "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]
    }
    """#

  static let vae15 = #"""
    {
      "_class_name": "AutoencoderKL",
      "_diffusers_version": "0.6.0",
      "act_fn": "silu",
      "block_out_channels": [128, 256, 512, 512],
      "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
      "in_channels": 3,
      "latent_channels": 4,
      "layers_per_block": 2,
      "norm_num_groups": 32,
      "out_channels": 3,
      "sample_size": 512,
      "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]
    }
    """#

  package static let scheduler = #"""
    {
      "_class_name": "PNDMScheduler",
      "_diffusers_version": "0.7.0.dev0",
      "beta_end": 0.012,
      "beta_schedule": "scaled_linear",
      "beta_start": 0.00085,
      "clip_sample": false,
      "num_train_timesteps": 1000,
      "set_alpha_to_one": false,
      "skip_prk_steps": true,
      "steps_offset": 1,
      "trained_betas": null
    }
    """#

  package static let specialTokensMap = #"""
    {
      "bos_token": {
        "content": "<|startoftext|>",
        "lstrip": false,
        "normalized": true,
        "rstrip": false,
        "single_word": false
      },
      "eos_token": {
        "content": "<|endoftext|>",
        "lstrip": false,
        "normalized": true,
        "rstrip": false,
        "single_word": false
      },
      "pad_token": "<|endoftext|>",
      "unk_token": {
        "content": "<|endoftext|>",
        "lstrip": false,
        "normalized": true,
        "rstrip": false,
        "single_word": false
      }
    }
    """#

  package static let tokenizerConfig = #"""
    {
      "add_prefix_space": false,
      "bos_token": {
        "__type": "AddedToken",
        "content": "<|startoftext|>",
        "lstrip": false,
        "normalized": true,
        "rstrip": false,
        "single_word": false
      },
      "do_lower_case": true,
      "eos_token": {
        "__type": "AddedToken",
        "content": "<|endoftext|>",
        "lstrip": false,
        "normalized": true,
        "rstrip": false,
        "single_word": false
      },
      "errors": "replace",
      "model_max_length": 77,
      "name_or_path": "openai/clip-vit-large-patch14",
      "pad_token": "<|endoftext|>",
      "tokenizer_class": "CLIPTokenizer",
      "unk_token": {
        "__type": "AddedToken",
        "content": "<|endoftext|>",
        "lstrip": false,
        "normalized": true,
        "rstrip": false,
        "single_word": false
      }
    }
    """#
}
