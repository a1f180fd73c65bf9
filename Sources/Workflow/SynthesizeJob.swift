package import ModelSources
private import Models
private import Quantization
private import Support
internal import Tensors

/// Writes a full-size model of a family with random weights.
package struct SynthesizeJob: Job {
  private let family: String
  private let seed: UInt64
  private let type: String
  private let output: OutputRequest

  package init(family: String, seed: UInt64, type: String, output: OutputRequest) {
    self.family = family
    self.seed = seed
    self.type = type
    self.output = output
  }

  package func perform(_ events: @escaping EventSink) async throws -> WrittenModel {
    let writer = try output.writer(besides: [])
    let source = try syntheticModel(family: family, seed: seed, type: type)
    try output.write(source, by: writer, events)
    var outcome = WrittenModel(before: source, after: source, output: output, by: writer)
    outcome.details.append(("seed", .seed(seed), ""))
    return outcome
  }
}

/// A family's full-size model with random weights and CLIP's tokenizer.
package func syntheticModel(family name: String, seed: UInt64, type: String) throws -> ModelSource {
  guard let family = Family.named(name), family.template != nil else {
    throw JobError(unknown: name, "family", expected: familyNames)
  }
  guard
    case .plain(let kind) = try plainScheme(type).encoding,
    var source = try family.synthesize(seed: seed, kind: kind)
  else { throw JobError("family '\(name)' has no fixed sizes and cannot be synthesized") }
  source.addVocabularies()
  return source
}
