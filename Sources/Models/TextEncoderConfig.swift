package import Support

/// The config of a CLIP text encoder (transformers' `CLIPTextConfig`), read with that class's
/// defaults.
package struct TextEncoderConfig: Sendable {
  package enum Activation: String, CaseIterable, Sendable {
    case quickGELU = "quick_gelu"
    case gelu
  }

  /// The config as it was written, with every field that Decant does not know.
  package let json: JSONObject

  package let vocabSize: Int
  package let hiddenSize: Int
  package let intermediateSize: Int
  package let hiddenLayers: Int
  package let attentionHeads: Int
  package let maxPositionEmbeddings: Int
  package let activation: Activation
  package let layerNormEps: Double
  /// The token whose state is the pooled output. 2 means the token with the highest number: such
  /// configs were written before transformers#24773, and are what most models have.
  package let eosTokenID: Int
  /// Width of `text_embeds`; `nil` for `CLIPTextModel`, which has no projection.
  package let projectionDim: Int?

  /// - Parameter className: transformers' class as `model_index.json` names it; without it the
  ///   config's `architectures` says whether there is a projection.
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
