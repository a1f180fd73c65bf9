import Kernels
package import ModelSources
package import Models
package import Tensors

/// The output of a text encoder.
package struct TextEncoderOutput: Sendable {
  /// The last layer's output after the final norm, [B, words, D].
  package let lastHiddenState: Tensor
  /// The embeddings, then the output of each layer, before the final norm: [B, words, D] each.
  package let hiddenStates: [Tensor]
  /// The last hidden state at the end token of each sequence, [B, D].
  package let poolerOutput: Tensor
  /// The projection of the pooled output, [B, P]; `nil` for a model without projection.
  package let textEmbeds: Tensor?
}

/// The CLIP text encoder (Radford et al. 2021) in float32: transformers' `CLIPTextModel` or
/// `CLIPTextModelWithProjection`.
///
/// The attention mask is causal only. Padding tokens are not masked, as in the training of Stable
/// Diffusion.
package struct TextEncoder: Sendable {
  private struct Layer: Sendable {
    let spec: TextEncoderSpec.Layer
    let norm1: LayerNorm
    let query: Linear
    let key: Linear
    let value: Linear
    let out: Linear
    let norm2: LayerNorm
    let feedForwardIn: Linear
    let feedForwardOut: Linear

    init(_ spec: TextEncoderSpec.Layer, _ weights: any WeightSource) throws {
      self.spec = spec
      norm1 = try LayerNorm(spec.norm1, weights)
      query = try Linear(spec.query, weights, .f32)
      key = try Linear(spec.key, weights, .f32)
      value = try Linear(spec.value, weights, .f32)
      out = try Linear(spec.out, weights, .f32)
      norm2 = try LayerNorm(spec.norm2, weights)
      feedForwardIn = try Linear(spec.feedForwardIn, weights, .f32)
      feedForwardOut = try Linear(spec.feedForwardOut, weights, .f32)
    }
  }

  package let spec: TextEncoderSpec
  private let tokenEmbedding: Embedding
  private let positionEmbedding: Embedding
  private let layers: [Layer]
  private let finalNorm: LayerNorm
  private let projection: Linear?

  /// - Throws: what `weights` throws, or ``WeightError`` when a tensor has another shape.
  package init(config: TextEncoderConfig, weights: any WeightSource) throws {
    let spec = TextEncoderSpec(config)
    self.spec = spec
    tokenEmbedding = try Embedding(spec.tokenEmbedding, weights)
    positionEmbedding = try Embedding(spec.positionEmbedding, weights)
    layers = try spec.layers.map { try Layer($0, weights) }
    finalNorm = try LayerNorm(spec.finalNorm, weights)
    projection = try spec.projection.map { try Linear($0, weights, .f32) }
  }

  /// - Parameter inputIDs: sequences of the same length, each with its start and end tokens.
  /// - Throws: ``InputError`` for wrong lengths or unknown tokens; `CancellationError`.
  package func callAsFunction(
    inputIDs: [[Int]], observer: (any ActivationObserver)? = nil
  ) throws -> TextEncoderOutput {
    try check(inputIDs)
    let (batch, length) = (inputIDs.count, inputIDs[0].count)
    let positions = inputIDs.flatMap { $0.indices }
    let embeddings = add(tokenEmbedding(inputIDs.flatMap { $0 }), positionEmbedding(positions))
      .reshaped([batch, length, tokenEmbedding.width])
    observer.ran(TextEncoderSpec.embeddingsBlock, embeddings)

    var hiddenStates = [embeddings]
    // The layers compute with planes of tokens for each feature.
    var x = transposed(embeddings)
    for layer in layers {
      let normed = layer.norm1(x)
      let attended = attention(
        query: try layer.query(normed, observer), key: try layer.key(normed, observer),
        value: try layer.value(normed, observer), heads: spec.heads, causal: true)
      x = try layer.out(attended, residual: x, observer)
      let wide = try activate(layer.feedForwardIn(layer.norm2(x), observer))
      x = try layer.feedForwardOut(wide, residual: x, observer)
      let state = transposed(x)
      observer.ran(layer.spec.name, state)
      hiddenStates.append(state)
    }

    let last = transposed(finalNorm(x))
    observer.ran(spec.finalNorm.module.block, last)
    let pooled = pool(last, inputIDs)
    return TextEncoderOutput(
      lastHiddenState: last, hiddenStates: hiddenStates, poolerOutput: pooled,
      textEmbeds: try projection.map { try $0(pooled, observer) })
  }

  private func activate(_ x: consuming Tensor) -> Tensor {
    switch spec.activation {
    case .quickGELU: quickGELU(x)
    case .gelu: gelu(x)
    }
  }

  /// The state of each sequence's end token, [B, D].
  private func pool(_ states: Tensor, _ inputIDs: [[Int]]) -> Tensor {
    let (length, width) = (states.shape[1], states.shape[2])
    var values: [Float] = []
    for (index, row) in inputIDs.enumerated() {
      // As in transformers: if the config has the wrong end token 2, the highest token number is
      // the end token; if the end token does not occur, the first position is used.
      let end = spec.eosTokenID == 2 ? row.max() : spec.eosTokenID
      let position = end.flatMap { row.firstIndex(of: $0) } ?? 0
      let start = (index * length + position) * width
      values += states.values[start..<start + width]
    }
    return Tensor(shape: [inputIDs.count, width], values: values)
  }

  private func check(_ inputIDs: [[Int]]) throws(InputError) {
    let length = inputIDs.first?.count ?? 0
    guard length > 0, inputIDs.allSatisfy({ $0.count == length }) else {
      throw InputError(
        input: "input_ids", found: "sequences of \(inputIDs.map(\.count)) tokens",
        expected: "sequences of the same length")
    }
    guard length <= positionEmbedding.rows else {
      throw InputError(
        input: "input_ids", found: "sequences of \(length) tokens",
        expected: "at most \(positionEmbedding.rows)")
    }
    for row in inputIDs {
      for token in row where token < 0 || token >= tokenEmbedding.rows {
        throw InputError(
          input: "input_ids", found: "token \(token)",
          expected: "tokens from 0 to \(tokenEmbedding.rows - 1)")
      }
    }
  }
}
