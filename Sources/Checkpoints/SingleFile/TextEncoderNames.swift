import Tensors

/// CLIP's text encoders in OpenCLIP's layout: queries, keys and values in one matrix, the projection
/// turned around.
enum TextEncoderNames {
  /// diffusers' (transformers') names beside OpenCLIP's, where only names differ.
  static func pairs(layers: Int) -> NamePairs {
    var pairs = NamePairs()
    pairs.add("text_model.embeddings.token_embedding", "token_embedding")
    pairs.add("text_model.final_layer_norm", "ln_final")
    for layer in 0..<layers {
      pairs.add(
        "text_model.encoder.layers.\(layer)", "transformer.resblocks.\(layer)",
        [
          ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj"),
          ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
        ])
    }
    return pairs
  }

  static let positions = (
    ours: "text_model.embeddings.position_embedding.weight", theirs: "positional_embedding"
  )
  static let projection = (ours: "text_projection.weight", theirs: "text_projection")
  /// In the order in which OpenCLIP stacks them.
  static let stacked = ["q_proj", "k_proj", "v_proj"]
  static let kinds = ["weight", "bias"]

  static func ours(_ layer: Int, _ part: String, _ kind: String) -> String {
    "text_model.encoder.layers.\(layer).self_attn.\(part).\(kind)"
  }

  static func theirs(_ layer: Int, _ kind: String) -> String {
    "transformer.resblocks.\(layer).attn.in_proj_\(kind)"
  }

  /// Layers that names with `prefix` count; numbers beyond what any model has are no layers.
  static func layers(_ names: some Sequence<String>, prefix: String) -> Int {
    var last = -1
    for name in names where name.hasPrefix(prefix) {
      let number = name.dropFirst(prefix.count).prefix { $0 != "." }
      if let layer = Int(number), 0..<256 ~= layer { last = max(last, layer) }
    }
    return last + 1
  }

  /// Whether a text encoder is one of OpenCLIP's, by its config.
  static func isOpenCLIP(_ config: JSONObject) -> Bool { config["hidden_act"] == "gelu" }

  /// The config of the text encoder that shapes under diffusers' names tell of.
  ///
  /// - Parameter isOpenCLIP: whether it is one of OpenCLIP's, whose activation is the plain one.
  static func config(
    of weights: any WeightSource, isOpenCLIP: Bool, path: String
  ) throws(SingleFileError) -> JSONObject {
    func needed(_ name: String) throws(SingleFileError) -> Shape {
      guard let shape = weights.entry(name)?.shape else { throw .missing(path: path, tensor: name) }
      guard shape.rank == 2 else {
        throw .misshapen(path: path, tensor: name, found: shape, expected: "a matrix")
      }
      return shape
    }
    let tokens = try needed("text_model.embeddings.token_embedding.weight")
    let hidden = try needed("text_model.encoder.layers.0.mlp.fc1.weight")
    let positions = try needed(TextEncoderNames.positions.ours)
    let width = tokens[1]
    let projection = weights.entry(TextEncoderNames.projection.ours)?.shape.rows
    return [
      "architectures": [
        projection == nil ? "CLIPTextModel" : "CLIPTextModelWithProjection"
      ],
      "attention_dropout": 0.0, "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2,
      "hidden_act": isOpenCLIP ? "gelu" : "quick_gelu", "hidden_size": .integer(width),
      "initializer_factor": 1.0, "initializer_range": 0.02,
      "intermediate_size": .integer(hidden[0]), "layer_norm_eps": 1e-05,
      "max_position_embeddings": .integer(positions[0]), "model_type": "clip_text_model",
      "num_attention_heads": .integer(max(1, width / 64)),
      "num_hidden_layers": .integer(
        layers(weights.names, prefix: "text_model.encoder.layers.")),
      "pad_token_id": 1, "projection_dim": .integer(projection ?? width),
      "vocab_size": .integer(tokens[0]),
    ]
  }
}
