import Execution
internal import ModelSources
package import Models
package import Tensors

/// What a text becomes for the U-Net.
package struct EncodedPrompt: Sendable {
  /// What attentions look at, [1, words, D].
  package let states: Tensor
  /// The pooled text that SDXL adds to the time, [1, P]; `nil` for other lines.
  package let pooled: Tensor?
}

/// The tokenizers and text encoders of a model, put together as its line does.
struct PromptEncoder: Sendable {
  private struct Part: Sendable {
    let component: String
    let tokenizer: CLIPTokenizer
    let encoder: TextEncoder
  }

  private let parts: [Part]
  private let states: Architecture.TextStates

  /// - Throws: ``TokenizerError``, ``SamplingError``, or what the weights throw.
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
      let largest = max(tokenizer.beginID, tokenizer.endID, tokenizer.paddingID)
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

  /// - Parameter observer: sees the encoders' blocks; those of several with the component's name
  ///   before theirs.
  func encode(_ text: String, observer: (any ActivationObserver)?) throws -> EncodedPrompt {
    let outputs = try parts.map { part in
      let watched = observer.map { observer -> any ActivationObserver in
        parts.count == 1 ? observer : PrefixedObserver(observer, prefix: part.component)
      }
      return try part.encoder(inputIDs: [part.tokenizer.encode(text)], observer: watched)
    }
    switch states {
    case .last: return EncodedPrompt(states: outputs[0].lastHiddenState, pooled: nil)
    case .penultimate:
      // The last of the list is what the last layer gives.
      let states = outputs.map { $0.hiddenStates[max(0, $0.hiddenStates.count - 2)] }
      return EncodedPrompt(
        states: Tensor(joiningFeatures: states), pooled: outputs.last?.textEmbeds)
    }
  }

  /// What stands for no text at all, where a model wants zeros for it.
  func zeros(like prompt: EncodedPrompt) -> EncodedPrompt {
    EncodedPrompt(
      states: Tensor(zeros: prompt.states.shape),
      pooled: prompt.pooled.map { Tensor(zeros: $0.shape) })
  }
}

extension Model {
  /// Which of the texts are longer than a text encoder reads, with what is cut off.
  ///
  /// - Throws: ``TokenizerError``.
  package func cuts(
    _ texts: [String]
  ) throws(TokenizerError) -> [(text: String, capacity: Int, cut: CLIPTokenizer.Cut)] {
    var found: [(text: String, capacity: Int, cut: CLIPTokenizer.Cut)] = []
    for component in components where configs.textEncoder(component.name) != nil {
      guard let folder = ComponentName.tokenizer(of: component.name) else { continue }
      let tokenizer = try CLIPTokenizer(source, folder: folder)
      for text in texts where !found.contains(where: { $0.text == text }) {
        if let cut = tokenizer.cut(text) { found.append((text, tokenizer.capacity, cut)) }
      }
    }
    return found
  }
}

/// Tells another observer blocks and modules with a component's name before theirs.
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
  /// Tensors of shapes [B, words, D] side by side along the last axis.
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
