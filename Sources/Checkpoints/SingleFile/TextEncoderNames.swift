import Formats
import ModelSources
import Support
import Tensors

/// Tensor names of CLIP text encoders in OpenCLIP's layout, and the config derived from their
/// shapes.
///
/// OpenCLIP stacks queries, keys and values in one matrix and transposes the projection.
enum TextEncoderNames {
  /// Pairs of transformers' names and OpenCLIP names, for tensors that differ only in name.
  static func pairs(layers: Int) -> NamePairs {
    var pairs = NamePairs()
    for (diffusers, other) in OpenCLIPKeys.modules { pairs.add(diffusers, other) }
    for layer in 0..<layers {
      pairs.add(
        "\(OpenCLIPKeys.layers.diffusers)\(layer)", "\(OpenCLIPKeys.layers.openCLIP)\(layer)",
        OpenCLIPKeys.layer)
    }
    return pairs
  }

  static func diffusersName(_ layer: Int, _ part: String, _ kind: String) -> String {
    "\(OpenCLIPKeys.layers.diffusers)\(layer).self_attn.\(part).\(kind)"
  }

  static func openCLIPName(_ layer: Int, _ kind: String) -> String {
    "\(OpenCLIPKeys.layers.openCLIP)\(layer).\(OpenCLIPKeys.stack)\(kind)"
  }

  /// The number of layers, from the largest index after `prefix`. Indices of 256 and above are
  /// ignored.
  static func layers(_ names: some Sequence<String>, prefix: String) -> Int {
    var last = -1
    for name in names where name.hasPrefix(prefix) {
      let number = name.dropFirst(prefix.count).prefix { $0 != "." }
      if let layer = Int(number), 0..<256 ~= layer { last = max(last, layer) }
    }
    return last + 1
  }

  /// Derives the config of a text encoder from shapes under transformers' names.
  ///
  /// - Parameters:
  ///   - isOpenCLIP: whether it is one of OpenCLIP's, whose activation is the exact GELU.
  ///   - projects: whether its projection is used.
  static func config(
    of weights: any WeightSource, isOpenCLIP: Bool, projects: Bool, path: String
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
    let positions = try needed(OpenCLIPKeys.positions.diffusers)
    let width = tokens[1]
    let projection =
      projects ? weights.entry(OpenCLIPKeys.projection.diffusers)?.shape.rows : nil
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
        layers(weights.names, prefix: OpenCLIPKeys.layers.diffusers)),
      "pad_token_id": 1, "projection_dim": .integer(projection ?? width),
      "vocab_size": .integer(tokens[0]),
    ]
  }
}
