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
  // Kinds that are recognized but not merged.
  case scaleDoRA = "dora_scale"
  case magnitudeDoRA = "lora_magnitude_vector"
  case firstLoKr = "lokr_w1"
  case firstOuterLoKr = "lokr_w1_a"
  case firstInnerLoKr = "lokr_w1_b"
  case secondLoKr = "lokr_w2"
  case secondOuterLoKr = "lokr_w2_a"
  case secondInnerLoKr = "lokr_w2_b"
  case coreLoKr = "lokr_t2"
  case blocksOFT = "oft_blocks"
  case diagonalOFT = "oft_diag"
  case firstGLoRA = "a1.weight"
  case secondGLoRA = "a2.weight"
  case inputIA3 = "on_input"
}

/// Tensor names in adapter files of kohya-ss/sd-scripts, LyCORIS, PEFT and diffusers.
package enum AdapterKeys {
  /// Name endings of LoRA tensors, which differ between programs.
  package static let endings: [(ending: String, part: AdapterPart)] = [
    (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up),
    (".lora_A.default.weight", .down), (".lora_B.default.weight", .up),
    (".lora_B.default.bias", .upBias),
    (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora_mid.weight", .mid),
    (".lora.down.weight", .down), (".lora.up.weight", .up),
    ("_lora.down.weight", .down), ("_lora.up.weight", .up),
    (".lora_A.weight", .down), (".lora_B.weight", .up),
  ]

  /// Kinds that are recognized but not merged, by tensors that only they have.
  package static let unmerged: [(part: AdapterPart, kind: String)] = [
    (.scaleDoRA, "DoRA"), (.magnitudeDoRA, "DoRA"), (.firstLoKr, "LoKr"),
    (.firstOuterLoKr, "LoKr"), (.secondLoKr, "LoKr"), (.secondOuterLoKr, "LoKr"),
    (.blocksOFT, "OFT"), (.diagonalOFT, "OFT"), (.firstGLoRA, "GLoRA"), (.inputIA3, "IA3"),
  ]

  /// The prefixes of kohya-ss/sd-scripts for modules of the U-Net and of each text encoder. A
  /// single text encoder may have the prefix without a number.
  package static let kohyaUNet = "lora_unet_"
  package static let kohyaTextEncoder = "lora_te_"
  package static let kohyaTextEncoders = ["lora_te1_", "lora_te2_"]

  /// The prefix that PEFT adds to a model.
  package static let wrapper = "base_model.model."
  /// The prefix of text encoder modules before transformers 5.6.
  package static let textModel = "text_model."
  /// The layers with attention processors in early diffusers. `to_out` is now `to_out.0`.
  package static let processed = ["to_q", "to_k", "to_v", "to_out"]

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
