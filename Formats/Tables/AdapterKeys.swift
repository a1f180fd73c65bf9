/// What a tensor of an adapter is to the module that it changes. The raw value is an ending of the
/// tensor's name, as LyCORIS and PEFT write it; LoRA's have others, in ``AdapterKeys/endings``.
package enum AdapterPart: String, CaseIterable, Sendable {
  // LoRA.
  case down, up, mid, alpha
  case upBias = "lora_B.bias"
  // LoHa, and its Tucker form.
  case firstOuter = "hada_w1_a"
  case firstInner = "hada_w1_b"
  case firstCore = "hada_t1"
  case secondOuter = "hada_w2_a"
  case secondInner = "hada_w2_b"
  case secondCore = "hada_t2"
  // The change itself, of a weight and of a bias.
  case difference = "diff"
  case biasDifference = "diff_b"
  // Kinds that are known and not merged.
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

/// How files of adapters name their tensors: kohya-ss/sd-scripts, LyCORIS, PEFT, diffusers.
package enum AdapterKeys {
  /// Endings of the names of LoRA's tensors, which every program has its own for.
  package static let endings: [(ending: String, part: AdapterPart)] = [
    (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up),
    (".lora_A.default.weight", .down), (".lora_B.default.weight", .up),
    (".lora_B.default.bias", .upBias),
    (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora_mid.weight", .mid),
    (".lora.down.weight", .down), (".lora.up.weight", .up),
    ("_lora.down.weight", .down), ("_lora.up.weight", .up),
    (".lora_A.weight", .down), (".lora_B.weight", .up),
  ]

  /// Kinds that are known and not merged, by parts that only they have.
  package static let unmerged: [(part: AdapterPart, kind: String)] = [
    (.scaleDoRA, "DoRA"), (.magnitudeDoRA, "DoRA"), (.firstLoKr, "LoKr"),
    (.firstOuterLoKr, "LoKr"), (.secondLoKr, "LoKr"), (.secondOuterLoKr, "LoKr"),
    (.blocksOFT, "OFT"), (.diagonalOFT, "OFT"), (.firstGLoRA, "GLoRA"), (.inputIA3, "IA3"),
  ]

  /// What kohya-ss/sd-scripts puts before a module of the U-Net, and of each text encoder; of a text
  /// encoder that is alone, without a number too.
  package static let kohyaUNet = "lora_unet_"
  package static let kohyaTextEncoder = "lora_te_"
  package static let kohyaTextEncoders = ["lora_te1_", "lora_te2_"]

  /// What PEFT puts around a model.
  package static let wrapper = "base_model.model."
  /// What stands before the modules of text encoders in all but the newest transformers.
  package static let textModel = "text_model."
  /// The layers that early diffusers had processors for; `to_out` is `to_out.0` of today.
  package static let processed = ["to_q", "to_k", "to_v", "to_out"]

  /// Files that diffusers and PEFT save adapters as in a folder, without what tells the kind of file.
  package static let fileStems = ["pytorch_lora_weights", "adapter_model"]
  package static let fileExtensions = ["safetensors", "bin"]

  /// Ends of adapted modules' names, as people call what is adapted.
  package static let targets = [
    "to_out_0", "to_q", "to_k", "to_v", "to_out", "ff_net_0_proj", "ff_net_2", "proj_in",
    "proj_out",
    "time_emb_proj", "conv_shortcut", "conv1", "conv2", "emb_layers_1", "in_layers_2",
    "out_layers_3",
    "skip_connection", "q_proj", "k_proj", "v_proj", "out_proj", "mlp_fc1", "mlp_fc2", "conv_in",
    "conv_out", "conv", "op", "linear_1", "linear_2",
  ]
}
