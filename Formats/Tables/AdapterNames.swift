/// Names of the tensors of adapters: what tells them from a model's, and which part of an adapter each is.
package enum AdapterNames {
  /// Endings of names, with the part that a tensor of such a name is. Longer ones come first.
  package static let endings: [(ending: String, part: String)] = [
    (".lora_linear_layer.down.weight", "down"), (".lora_linear_layer.up.weight", "up"),
    (".lora_A.default.weight", "down"), (".lora_B.default.weight", "up"),
    (".lora_B.default.bias", "up_bias"),
    (".lora_down.weight", "down"), (".lora_up.weight", "up"), (".lora_mid.weight", "mid"),
    (".lora.down.weight", "down"), (".lora.up.weight", "up"),
    ("_lora.down.weight", "down"), ("_lora.up.weight", "up"),
    (".lora_A.weight", "down"), (".lora_B.weight", "up"), (".lora_B.bias", "up_bias"),
    (".alpha", "alpha"),
  ]

  /// Parts that kinds other than LoRA have, which stand at the end as they are.
  package static let parts = [
    "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "diff", "diff_b",
    "dora_scale", "lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b",
    "lokr_t2", "oft_blocks", "oft_diag", "a1.weight", "a2.weight", "on_input",
    "lora_magnitude_vector",
  ]

  /// The name of the adapted module and the part, of a tensor's name; `nil` for what is no part of an
  /// adapter.
  package static func split(_ name: String) -> (module: String, part: String)? {
    for (ending, part) in endings where name.hasSuffix(ending) {
      return (String(name.dropLast(ending.count)), part)
    }
    for part in parts where name.hasSuffix("." + part) {
      return (String(name.dropLast(part.count + 1)), part)
    }
    return nil
  }

  /// Files that diffusers and PEFT save adapters as in a folder, without what tells the kind of file.
  package static let fileStems = ["pytorch_lora_weights", "adapter_model"]
  package static let fileExtensions = ["safetensors", "bin"]

  /// Ends of adapted modules' names, longer ones first, as people call what is adapted.
  package static let targets = [
    "to_out_0", "to_q", "to_k", "to_v", "to_out", "ff_net_0_proj", "ff_net_2", "proj_in",
    "proj_out",
    "time_emb_proj", "conv_shortcut", "conv1", "conv2", "emb_layers_1", "in_layers_2",
    "out_layers_3",
    "skip_connection", "q_proj", "k_proj", "v_proj", "out_proj", "mlp_fc1", "mlp_fc2", "conv_in",
    "conv_out", "conv", "op", "linear_1", "linear_2",
  ]
}
