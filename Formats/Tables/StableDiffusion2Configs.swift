/// Configs of Stable Diffusion 2.x as published, without the feature extractor of the safety
/// checker. Models differ from 2.1 base in a few members.
package enum StableDiffusion2Configs {
  package static let v21Base = ModelConfigTable(
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

  /// Trained on images of 768x768 pixels, predicts the velocity.
  package static let v21 = v21Base.changing([
    "model_index": #"{"scheduler": ["diffusers", "DDIMScheduler"]}"#,
    "scheduler": #"{"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}"#,
    "unet": #"{"sample_size": 96, "upcast_attention": true}"#,
  ])

  package static let inpainting = v21Base.changing([
    "model_index": #"{"_class_name": "StableDiffusionInpaintPipeline"}"#,
    "unet": #"{"in_channels": 9}"#,
    "vae": #"{"sample_size": 512}"#,
  ])

  /// Distilled to one step (Sauer et al. 2023, arXiv 2311.17042).
  package static let turbo = v21Base.changing([
    "model_index": #"{"scheduler": ["diffusers", "EulerDiscreteScheduler"]}"#,
    "scheduler": #"{"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}"#,
  ])

  static let index = #"""
    {
      "_class_name": "StableDiffusionPipeline",
      "_diffusers_version": "0.10.0.dev0",
      "feature_extractor": [null, null],
      "requires_safety_checker": false,
      "safety_checker": [null, null],
      "scheduler": ["diffusers", "PNDMScheduler"],
      "text_encoder": ["transformers", "CLIPTextModel"],
      "tokenizer": ["transformers", "CLIPTokenizer"],
      "unet": ["diffusers", "UNet2DConditionModel"],
      "vae": ["diffusers", "AutoencoderKL"]
    }
    """#

  static let textEncoder = #"""
    {
      "_name_or_path": "stabilityai/stable-diffusion-2",
      "architectures": ["CLIPTextModel"],
      "attention_dropout": 0.0,
      "bos_token_id": 0,
      "dropout": 0.0,
      "eos_token_id": 2,
      "hidden_act": "gelu",
      "hidden_size": 1024,
      "initializer_factor": 1.0,
      "initializer_range": 0.02,
      "intermediate_size": 4096,
      "layer_norm_eps": 1e-05,
      "max_position_embeddings": 77,
      "model_type": "clip_text_model",
      "num_attention_heads": 16,
      "num_hidden_layers": 23,
      "pad_token_id": 1,
      "projection_dim": 512,
      "torch_dtype": "float32",
      "transformers_version": "4.25.0.dev0",
      "vocab_size": 49408
    }
    """#

  static let unet = #"""
    {
      "_class_name": "UNet2DConditionModel",
      "_diffusers_version": "0.10.0.dev0",
      "act_fn": "silu",
      "attention_head_dim": [5, 10, 20, 20],
      "block_out_channels": [320, 640, 1280, 1280],
      "center_input_sample": false,
      "cross_attention_dim": 1024,
      "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
      "downsample_padding": 1,
      "dual_cross_attention": false,
      "flip_sin_to_cos": true,
      "freq_shift": 0,
      "in_channels": 4,
      "layers_per_block": 2,
      "mid_block_scale_factor": 1,
      "norm_eps": 1e-05,
      "norm_num_groups": 32,
      "num_class_embeds": null,
      "only_cross_attention": false,
      "out_channels": 4,
      "sample_size": 64,
      "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
      "use_linear_projection": true
    }
    """#

  static let vae = #"""
    {
      "_class_name": "AutoencoderKL",
      "_diffusers_version": "0.10.0.dev0",
      "act_fn": "silu",
      "block_out_channels": [128, 256, 512, 512],
      "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
      "in_channels": 3,
      "latent_channels": 4,
      "layers_per_block": 2,
      "norm_num_groups": 32,
      "out_channels": 3,
      "sample_size": 768,
      "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]
    }
    """#

  package static let scheduler = #"""
    {
      "_class_name": "PNDMScheduler",
      "_diffusers_version": "0.10.0.dev0",
      "beta_end": 0.012,
      "beta_schedule": "scaled_linear",
      "beta_start": 0.00085,
      "clip_sample": false,
      "num_train_timesteps": 1000,
      "prediction_type": "epsilon",
      "set_alpha_to_one": false,
      "skip_prk_steps": true,
      "steps_offset": 1,
      "trained_betas": null
    }
    """#

  package static let specialTokensMap = #"""
    {
      "bos_token": {"content": "<|startoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "eos_token": {"content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "pad_token": "!",
      "unk_token": {"content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false}
    }
    """#

  package static let tokenizerConfig = #"""
    {
      "add_prefix_space": false,
      "bos_token": {"__type": "AddedToken", "content": "<|startoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "do_lower_case": true,
      "eos_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false},
      "errors": "replace",
      "model_max_length": 77,
      "name_or_path": "stabilityai/stable-diffusion-2",
      "pad_token": "<|endoftext|>",
      "tokenizer_class": "CLIPTokenizer",
      "unk_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false}
    }
    """#
}
