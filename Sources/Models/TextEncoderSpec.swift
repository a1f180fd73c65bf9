/// The module tree of a CLIP text encoder.
///
/// Names have the prefix `text_model.`, as in the files of all published models.
package struct TextEncoderSpec: Hashable, Sendable {
  /// A transformer layer: self-attention and a feed-forward pair, with a norm before each.
  package struct Layer: Hashable, Sendable {
    package let name: String
    package let norm1: LayerNormSpec
    package let query: LinearSpec
    package let key: LinearSpec
    package let value: LinearSpec
    package let out: LinearSpec
    package let norm2: LayerNormSpec
    package let feedForwardIn: LinearSpec
    package let feedForwardOut: LinearSpec
  }

  package let modules: [ModuleSpec]
  package let tokenEmbedding: EmbeddingSpec
  package let positionEmbedding: EmbeddingSpec
  package let layers: [Layer]
  package let finalNorm: LayerNormSpec
  package let projection: LinearSpec?
  package let heads: Int
  package let activation: TextEncoderConfig.Activation
  package let eosTokenID: Int

  /// The block whose output is `hidden_states.0`.
  package static let embeddingsBlock = "text_model.embeddings"

  package init(_ config: TextEncoderConfig) {
    var list = ModuleList()
    let width = config.hiddenSize
    list.begin(Self.embeddingsBlock)
    tokenEmbedding = list.embedding("token_embedding", rows: config.vocabSize, width: width)
    positionEmbedding = list.embedding(
      "position_embedding", rows: config.maxPositionEmbeddings, width: width)
    layers = (0..<config.hiddenLayers).map { index in
      let name = "text_model.encoder.layers.\(index)"
      list.begin(name)
      return Layer(
        name: name,
        norm1: list.layerNorm("layer_norm1", width: width, epsilon: config.layerNormEps),
        query: list.linear("self_attn.q_proj", from: width, to: width),
        key: list.linear("self_attn.k_proj", from: width, to: width),
        value: list.linear("self_attn.v_proj", from: width, to: width),
        out: list.linear("self_attn.out_proj", from: width, to: width),
        norm2: list.layerNorm("layer_norm2", width: width, epsilon: config.layerNormEps),
        feedForwardIn: list.linear("mlp.fc1", from: width, to: config.intermediateSize),
        feedForwardOut: list.linear("mlp.fc2", from: config.intermediateSize, to: width))
    }
    list.begin("text_model.final_layer_norm")
    finalNorm = list.layerNorm("", width: width, epsilon: config.layerNormEps)
    list.begin("text_projection")
    projection = config.projectionDim.map { list.linear("", from: width, to: $0, bias: false) }
    heads = config.attentionHeads
    activation = config.activation
    eosTokenID = config.eosTokenID
    modules = list.modules
  }
}

extension TextEncoderConfig {
  /// Every layer of the text encoder with weights, in the order of the tree.
  package var modules: [ModuleSpec] { TextEncoderSpec(self).modules }
}
