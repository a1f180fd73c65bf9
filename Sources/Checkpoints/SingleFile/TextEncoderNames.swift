import Formats
import ModelSources
import Support
import Tensors

/// CLIP's text encoders in OpenCLIP's layout: queries, keys and values in one matrix, the projection
/// turned around.
enum TextEncoderNames {
  /// diffusers' (transformers') names beside OpenCLIP's, where only names differ.
  static func pairs(layers: Int) -> NamePairs {
    var pairs = NamePairs()
    for (ours, theirs) in OpenCLIPKeys.modules { pairs.add(ours, theirs) }
    for layer in 0..<layers {
      pairs.add(
        "\(OpenCLIPKeys.layers.ours)\(layer)", "\(OpenCLIPKeys.layers.theirs)\(layer)",
        OpenCLIPKeys.layer)
    }
    return pairs
  }

  static func ours(_ layer: Int, _ part: String, _ kind: String) -> String {
    "\(OpenCLIPKeys.layers.ours)\(layer).self_attn.\(part).\(kind)"
  }

  static func theirs(_ layer: Int, _ kind: String) -> String {
    "\(OpenCLIPKeys.layers.theirs)\(layer).\(OpenCLIPKeys.stack)\(kind)"
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
    let positions = try needed(OpenCLIPKeys.positions.ours)
    let width = tokens[1]
    let projection = weights.entry(OpenCLIPKeys.projection.ours)?.shape.rows
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
        layers(weights.names, prefix: OpenCLIPKeys.layers.ours)),
      "pad_token_id": 1, "projection_dim": .integer(projection ?? width),
      "vocab_size": .integer(tokens[0]),
    ]
  }
}
