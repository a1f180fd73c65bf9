package import Support

/// The config of a CLIP text encoder (transformers' `CLIPTextConfig`), read with that class's
/// defaults and checked.
package struct TextEncoderConfig: Sendable {
  /// The activation of the feed-forward layers.
  package enum Activation: String, CaseIterable, Sendable {
    case quickGELU = "quick_gelu"
    case gelu
  }

  /// The config as written, including fields that Decant does not use.
  package let json: JSONObject

  package let vocabSize: Int
  package let hiddenSize: Int
  package let intermediateSize: Int
  package let hiddenLayers: Int
  package let attentionHeads: Int
  package let maxPositionEmbeddings: Int
  package let activation: Activation
  package let layerNormEps: Double
  /// The token whose hidden state is the pooled output. In most models the value is 2, written
  /// before transformers#24773; it selects the token with the highest id.
  package let eosTokenID: Int
  /// The width of `text_embeds`; `nil` for `CLIPTextModel`, which has no projection.
  package let projectionDim: Int?

  /// - Parameters:
  ///   - location: the path of the config in errors.
  ///   - className: transformers' class in `model_index.json`. Without it, the config's
  ///     `architectures` decides whether there is a projection.
  package init(
    json: JSONObject, location: String, className: String? = nil
  ) throws(ConfigError) {
    let reader = ConfigReader(json: json, location: location)
    try reader.only("model_type", "clip_text_model")
    let widths = 1...ConfigReader.widthLimit
    self.json = json
    vocabSize = try reader.integer("vocab_size", default: 49408, in: 1...1 << 24)
    hiddenSize = try reader.integer("hidden_size", default: 512, in: widths)
    intermediateSize = try reader.integer("intermediate_size", default: 2048, in: widths)
    hiddenLayers = try reader.integer(
      "num_hidden_layers", default: 12, in: 0...ConfigReader.layerLimit)
    attentionHeads = try reader.integer("num_attention_heads", default: 8, in: widths)
    maxPositionEmbeddings = try reader.integer("max_position_embeddings", default: 77, in: widths)
    layerNormEps = try reader.positive("layer_norm_eps", default: 1e-5)
    eosTokenID = try reader.integer("eos_token_id", default: 49407, in: 0...1 << 24)
    try reader.only("hidden_act", "quick_gelu", "gelu")
    activation = json["hidden_act"]?.string.flatMap(Activation.init(rawValue:)) ?? .quickGELU
    guard hiddenSize % attentionHeads == 0 else {
      throw reader.refusal(
        "num_attention_heads", expected: "a divisor of 'hidden_size', which is \(hiddenSize)")
    }
    let written = json["architectures"]?.array?.first?.string
    switch className ?? written ?? "CLIPTextModel" {
    case "CLIPTextModel": projectionDim = nil
    case "CLIPTextModelWithProjection":
      projectionDim = try reader.integer("projection_dim", default: 512, in: widths)
    case let other:
      throw ConfigError(
        location: location, field: "architectures", found: "\"\(other)\"",
        expected: "\"CLIPTextModel\" or \"CLIPTextModelWithProjection\"")
    }
  }
}
