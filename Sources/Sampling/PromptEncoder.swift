import Execution
private import Kernels
internal import ModelSources
package import Models
package import Tensors

/// An encoded prompt: `prompt_embeds` and `pooled_prompt_embeds` of diffusers' pipelines.
package struct EncodedPrompt: Sendable {
  /// Input of the U-Net's cross-attention, [1, tokens, D].
  package let states: Tensor
  /// The pooled embedding that SDXL adds to the time embedding, [1, P]; `nil` for other models.
  package let pooled: Tensor?
}

/// The tokenizers and text encoders of a model.
struct PromptEncoder: Sendable {
  private struct Part: Sendable {
    let component: String
    let tokenizer: CLIPTokenizer
    let encoder: TextEncoder
  }

  private let parts: [Part]
  private let states: Architecture.TextStates

  /// - Throws: ``TokenizerError``, ``SamplingError``, or an error of the weights.
  init(_ model: Model) throws {
    states = model.family.architecture.textStates
    parts = try model.components.compactMap { component in
      guard let config = model.configs.textEncoder(component.name) else { return nil }
      guard let folder = ComponentName.tokenizer(of: component.name) else { return nil }
      let tokenizer = try CLIPTokenizer(model.source, folder: folder)
      guard tokenizer.maximumLength <= config.maxPositionEmbeddings else {
        throw SamplingError.textLength(
          location: model.source.location, tokenizer: tokenizer.maximumLength,
          encoder: config.maxPositionEmbeddings)
      }
      let largest = tokenizer.largestSpecialID
      guard largest < config.vocabSize else {
        throw SamplingError.vocabulary(
          location: model.source.location, component: component.name, token: largest,
          count: config.vocabSize)
      }
      return Part(
        component: component.name, tokenizer: tokenizer,
        encoder: try TextEncoder(config: config, weights: component.weights))
    }
  }

  /// - Parameter observer: receives the encoders' activations. With more than one encoder, names
  ///   begin with the component's name.
  func encode(_ text: String, observer: (any ActivationObserver)?) throws -> EncodedPrompt {
    let outputs = try parts.map { part in
      let observer = observer.map { observer -> any ActivationObserver in
        parts.count == 1 ? observer : PrefixedObserver(observer, prefix: part.component)
      }
      return try interruptible {
        try part.encoder(inputIDs: [part.tokenizer.encode(text)], observer: observer)
      }
    }
    switch states {
    case .last: return EncodedPrompt(states: outputs[0].lastHiddenState, pooled: nil)
    case .penultimate:
      // The last entry is the last layer's output.
      let states = outputs.map { $0.hiddenStates[max(0, $0.hiddenStates.count - 2)] }
      return EncodedPrompt(
        states: Tensor(joiningFeatures: states), pooled: outputs.last?.textEmbeds)
    }
  }

  /// Zeros, which some models take in place of an empty prompt.
  func zeros(like prompt: EncodedPrompt) -> EncodedPrompt {
    EncodedPrompt(
      states: Tensor(zeros: prompt.states.shape),
      pooled: prompt.pooled.map { Tensor(zeros: $0.shape) })
  }
}

extension Model {
  /// The texts that a tokenizer truncates, with what it leaves out.
  ///
  /// - Throws: ``TokenizerError``.
  package func truncations(
    of texts: [String]
  ) throws(TokenizerError) -> [(text: String, capacity: Int, truncation: CLIPTokenizer.Truncation)]
  {
    var found: [(text: String, capacity: Int, truncation: CLIPTokenizer.Truncation)] = []
    for component in components where configs.textEncoder(component.name) != nil {
      guard let folder = ComponentName.tokenizer(of: component.name) else { continue }
      let tokenizer = try CLIPTokenizer(source, folder: folder)
      for text in texts where !found.contains(where: { $0.text == text }) {
        if let truncation = tokenizer.truncation(of: text) {
          found.append((text, tokenizer.capacity, truncation))
        }
      }
    }
    return found
  }
}

/// Forwards activations to another observer, with a component's name before the names of blocks
/// and modules.
private final class PrefixedObserver: ActivationObserver {
  private let base: any ActivationObserver
  private let prefix: String

  init(_ base: any ActivationObserver, prefix: String) {
    self.base = base
    self.prefix = prefix
  }

  func willRun(module name: String, input: Tensor) {
    base.willRun(module: "\(prefix).\(name)", input: input)
  }

  func didRun(block name: String, output: Tensor) {
    base.didRun(block: "\(prefix).\(name)", output: output)
  }
}

extension Tensor {
  /// Concatenates tensors [B, tokens, D] along the last axis.
  fileprivate init(joiningFeatures tensors: [Tensor]) {
    let widths = tensors.map { $0.shape[2] }
    let rows = tensors[0].shape[0] * tensors[0].shape[1]
    var values: [Float] = []
    values.reserveCapacity(rows * widths.reduce(0, +))
    for row in 0..<rows {
      for (tensor, width) in zip(tensors, widths) {
        values += tensor.values[row * width..<(row + 1) * width]
      }
    }
    self.init(
      shape: [tensors[0].shape[0], tensors[0].shape[1], widths.reduce(0, +)], values: values)
  }
}
