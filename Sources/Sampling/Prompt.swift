/// What a picture shall show, and what it shall not; an empty text is nothing.
package struct Prompt: Sendable, Equatable {
  package let prompt: String
  package let negativePrompt: String

  package init(_ prompt: String, negativePrompt: String = "") {
    self.prompt = prompt
    self.negativePrompt = negativePrompt
  }
}

extension [Prompt] {
  /// Every text of these prompts, once.
  package var texts: [String] {
    Set(flatMap { [$0.prompt, $0.negativePrompt] }).sorted()
  }
}

extension SamplingRequest {
  /// Asks for what `prompt` says. No negative prompt is what the model takes for none.
  package mutating func show(_ prompt: Prompt) {
    self.prompt = prompt.prompt
    negativePrompt = prompt.negativePrompt.isEmpty ? nil : prompt.negativePrompt
  }
}
