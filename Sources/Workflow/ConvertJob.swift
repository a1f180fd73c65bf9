internal import ModelSources
internal import Models
internal import Quantization
internal import Support
internal import Tensors

/// Writes a model in another layout or number type.
package struct ConvertJob: Job {
  private let model: String
  private let reading: InputOptions
  private let output: OutputRequest
  private let type: String?

  /// - Parameter type: `f32`, `f16` or `bf16` for all weights; `nil` keeps every bit.
  package init(model: String, reading: InputOptions, output: OutputRequest, type: String?) {
    self.model = model
    self.reading = reading
    self.output = output
    self.type = type
  }

  package func perform(_ events: @escaping EventSink) async throws -> WrittenModel {
    let writer = try output.writer(besides: [model] + reading.composition.inputs)
    let scheme = try type.map { try plainScheme($0) }
    let source = try ModelSource.reading(
      model, reading, keepingKinds: type == nil, changes: .listed, events)
    // A model that lacks a tensor is refused now, not when the output is next read.
    let bound = try source.bound(orPart: writer.holdsParts)
    try output.checkLoadable(source, by: writer)
    if bound == nil { source.notePart(events) }
    let digest = SourceDigest(source)
    let profile = try writer.profile(output.options)
    let converted =
      scheme.map { digest.watched.cast(to: $0, of: bound) }
      ?? digest.watched.multiplyingOutScales(for: profile)
    try output.checkEncodings(converted, by: writer, offersTypes: true)
    try output.layout.checkChanges(of: converted, by: writer)
    var facts: JSONObject = [:]
    if let scheme { facts["type"] = .string(scheme.name) }
    try output.write(
      converted.recording([ProvenanceStep("convert", facts)], from: digest), by: writer, events)
    return WrittenModel(before: source, after: converted, output: output, by: writer)
  }
}

extension ModelSource {
  /// Notes that the source is a part of a model.
  func notePart(_ events: EventSink) {
    events(.note("\(location) is a part of a model: \(listed(components.map(\.name)))"))
  }
}

/// The scheme of plain floating-point numbers of that name.
///
/// - Parameter noun: what messages call the type: `number type`.
func plainScheme(_ name: String, noun: String = "number type") throws -> any Scheme {
  guard let scheme = Schemes.named(name) else {
    throw JobError(unknown: name, noun, expected: plainTypeNames)
  }
  if scheme.encoding.isQuantized {
    throw JobError(
      "\(noun) '\(shown(name))' is quantized; expected \(alternatives(plainTypeNames))")
  }
  return scheme
}
