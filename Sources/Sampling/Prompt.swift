/// A prompt and a negative prompt; an empty negative prompt means none.
package struct Prompt: Sendable, Equatable {
  package let prompt: String
  package let negativePrompt: String

  package init(_ prompt: String, negativePrompt: String = "") {
    self.prompt = prompt
    self.negativePrompt = negativePrompt
  }
}

extension [Prompt] {
  /// All prompts and negative prompts, sorted, without duplicates.
  package var texts: [String] {
    Set(flatMap { [$0.prompt, $0.negativePrompt] }).sorted()
  }
}

extension SamplingRequest {
  /// Sets the prompt and the negative prompt; an empty negative prompt leaves the model's default.
  package mutating func setPrompt(_ prompt: Prompt) {
    self.prompt = prompt.prompt
    negativePrompt = prompt.negativePrompt.isEmpty ? nil : prompt.negativePrompt
  }
}
