/// The role of an adapter's tensor. The raw value is the ending of its name in LyCORIS and PEFT;
/// ``AdapterKeys/endings`` has the other endings of LoRA tensors.
package enum AdapterPart: String, CaseIterable, Sendable {
  // LoRA.
  case down, up, mid, alpha
  case upBias = "lora_B.bias"
  // LoHa and its Tucker decomposition.
  case firstOuter = "hada_w1_a"
  case firstInner = "hada_w1_b"
  case firstCore = "hada_t1"
  case secondOuter = "hada_w2_a"
  case secondInner = "hada_w2_b"
  case secondCore = "hada_t2"
  // The full difference of a weight and of a bias.
  case difference = "diff"
  case biasDifference = "diff_b"
  // LoKr: the two factors of a Kronecker product, whole or as products of their own.
  case firstLoKr = "lokr_w1"
  case firstOuterLoKr = "lokr_w1_a"
  case firstInnerLoKr = "lokr_w1_b"
  case secondLoKr = "lokr_w2"
  case secondOuterLoKr = "lokr_w2_a"
  case secondInnerLoKr = "lokr_w2_b"
  case coreLoKr = "lokr_t2"
  // DoRA: the norms that the sum of weight and change gets, in LyCORIS and in PEFT.
  case scaleDoRA = "dora_scale"
  case magnitudeDoRA = "lora_magnitude_vector"
  // Kinds that are recognized but not merged.
  case blocksOFT = "oft_blocks"
  case diagonalOFT = "oft_diag"
  case rotationOFT = "oft_R.weight"
  case rotationBOFT = "boft_R"
  case scaleBOFT = "boft_s"
  case firstGLoRA = "a1.weight"
  case secondGLoRA = "a2.weight"
  case inputIA3 = "on_input"
  case vectorIA3 = "ia3_l"
  case ranksAdaLoRA = "lora_E"
  case embeddingLoRA = "lora_embedding_A"
}

/// Tensor names in adapter files of kohya-ss/sd-scripts, LyCORIS, PEFT and diffusers.
package enum AdapterKeys {
  /// Name endings that differ between programs.
  package static let endings: [(ending: String, part: AdapterPart)] = [
    (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up),
    (".lora_A.default.weight", .down), (".lora_B.default.weight", .up),
    (".lora_B.default.bias", .upBias),
    (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora_mid.weight", .mid),
    (".lora.down.weight", .down), (".lora.up.weight", .up), (".lora.alpha", .alpha),
    ("_lora.down.weight", .down), ("_lora.up.weight", .up), ("_lora.alpha", .alpha),
    (".lora_A.weight", .down), (".lora_B.weight", .up), (".lora_A", .down), (".lora_B", .up),
    (".lora_magnitude_vector.default.weight", .magnitudeDoRA),
    (".lora_magnitude_vector.weight", .magnitudeDoRA),
    // LyCORIS's differences of norms.
    (".w_norm", .difference), (".b_norm", .biasDifference),
  ]

  /// Kinds that are recognized but not merged, by tensors that only they have.
  package static let unmerged: [(part: AdapterPart, kind: String)] = [
    (.blocksOFT, "OFT"), (.diagonalOFT, "OFT"), (.rotationOFT, "OFT"), (.rotationBOFT, "BOFT"),
    (.scaleBOFT, "BOFT"), (.firstGLoRA, "GLoRA"), (.secondGLoRA, "GLoRA"), (.inputIA3, "IA3"),
    (.vectorIA3, "IA3"), (.ranksAdaLoRA, "AdaLoRA"), (.embeddingLoRA, "LoRA of embeddings"),
  ]

  /// The kind of LyCORIS's modules whose OFT blocks have four axes.
  package static let butterflyOFT = "BOFT"

  // MARK: - Names of modules

  /// The prefixes of kohya-ss/sd-scripts for modules of the U-Net and of each text encoder. A
  /// single text encoder may have the prefix without a number.
  package static let kohyaUNet = "lora_unet_"
  package static let kohyaTextEncoder = "lora_te_"
  package static let kohyaTextEncoders = ["lora_te1_", "lora_te2_"]

  /// The prefix of SimpleTuner's LyCORIS files for modules of the U-Net.
  package static let simpleTunerUNet = "lycoris_"

  /// The prefixes of OneTrainer's files: with names of the LDM layout, and with diffusers' names.
  /// A single text encoder may have the prefix without a number.
  package static let oneTrainerUNet = (ldm: "unet.", diffusers: "lora_unet.")
  package static let oneTrainerTextEncoder = "lora_te."
  package static let oneTrainerTextEncoders = [
    ["clip_l.", "lora_te1."], ["clip_g.", "lora_te2."],
  ]

  /// The prefixes of the names inside ComfyUI, whose U-Net has the names of the LDM layout. The
  /// text encoder of Stable Diffusion 2 is `clip_h`.
  package static let comfyUIUNet = "diffusion_model."
  package static let comfyUITextEncoders = [
    ["text_encoders.clip_l.transformer.", "text_encoders.clip_h.transformer."],
    ["text_encoders.clip_g.transformer."],
  ]

  /// The prefix of diffusers' files for modules of a transformer, which models without a U-Net have.
  package static let transformer = "transformer."

  /// The beginnings of the names of a U-Net's modules without a prefix: in diffusers and in the LDM
  /// layout.
  package static let blocks = ["down_blocks.", "up_blocks.", "mid_block."]
  package static let blocksOfLDM = ["input_blocks.", "middle_block.", "output_blocks."]

  /// The prefix of text encoder modules before transformers 5.6.
  package static let textModel = "text_model."
  /// The layers with attention processors in early diffusers. `to_out` is now `to_out.0`.
  package static let processed = ["to_q", "to_k", "to_v", "to_out"]
  /// The names of a text encoder's attention layers in the same files.
  package static let textProcessed = [
    "q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out",
  ]

  /// Parts of the names of modules that other models have, with the kind of model. Dots and
  /// underscores are the same.
  package static let foreign: [(mark: String, kind: String)] = [
    ("lora_prior_", "Stable Cascade"), ("motion_modules_", "an AnimateDiff motion module"),
    ("lllite_", "a ControlNet-LLLite"),
    ("joint_blocks_", "Stable Diffusion 3, a diffusion transformer"),
    ("double_blocks_", "a diffusion transformer such as Flux"),
    ("single_blocks_", "a diffusion transformer such as Flux"),
    ("single_transformer_blocks_", "a diffusion transformer such as Flux"),
    ("lora_transformer_", "a diffusion transformer"),
    ("transformer_transformer_blocks_", "a diffusion transformer"),
  ]

  /// Names of adapter files that diffusers and PEFT write, without extension.
  package static let fileStems = ["pytorch_lora_weights", "adapter_model"]
  package static let fileExtensions = ["safetensors", "bin"]

  /// Endings of module names, for messages that name adapted modules.
  package static let targets = [
    "to_out_0", "to_q", "to_k", "to_v", "to_out", "ff_net_0_proj", "ff_net_2", "proj_in",
    "proj_out",
    "time_emb_proj", "conv_shortcut", "conv1", "conv2", "emb_layers_1", "in_layers_2",
    "out_layers_3",
    "skip_connection", "q_proj", "k_proj", "v_proj", "out_proj", "mlp_fc1", "mlp_fc2", "conv_in",
    "conv_out", "conv", "op", "linear_1", "linear_2",
  ]
}
