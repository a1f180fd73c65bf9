internal import ModelSources
internal import Models
private import Sampling
internal import Support

/// Notes the prompts that are longer than the text encoder's context, with the part that is cut
/// off, as diffusers does.
func noteTruncation(of texts: [String], by model: Model, _ events: EventSink) throws {
  for (text, capacity, truncation) in try model.truncations(of: texts) {
    events(
      .note(
        "'\(shown(text, limit: 40))' is longer than the \(capacity) tokens that the text encoder "
          + "of \(PathParts(model.source.location).name) reads; cut off, "
          + "\(counted(truncation.tokens, "token")): '\(shown(truncation.text, limit: 400))'"))
  }
}
