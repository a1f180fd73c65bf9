internal import ModelSources
internal import Support

/// Decant's version, in files and on the command line.
package let toolVersion = "0.2.0"

/// One step of a model's provenance: what a job did to the model.
///
/// Provenance has three members: `tool`, `source` (the model that was read first, with the digest
/// of its weights) and `steps`, to which each job appends its own. The first step of a job has
/// `changes` where something was left out, changed or assumed that the user did not ask for.
struct ProvenanceStep: Sendable {
  let name: String
  /// Facts that are known when the job starts.
  let facts: JSONObject
  /// Facts that are known after every tensor was read.
  let late: @Sendable () -> JSONObject

  init(
    _ name: String, _ facts: JSONObject = [:], late: @escaping @Sendable () -> JSONObject = { [:] }
  ) {
    self.name = name
    self.facts = facts
    self.late = late
  }

  fileprivate var json: JSONValue {
    .object(JSONObject([("step", .string(name))]).appending(facts).appending(late()))
  }
}

extension ModelSource {
  /// The model with a provenance that states the source and appends `steps` to the source's own.
  ///
  /// - Parameter digest: the digest of the model that the job read.
  func recording(_ steps: [ProvenanceStep], from digest: SourceDigest) -> ModelSource {
    var copy = self
    let original = digest.source
    let earlier = original.provenance[Self.stepsFact]?.array ?? []
    // A model that Decant wrote keeps the source from which it was made.
    let first = original.provenance["source"]?.object
    var found: JSONObject = [
      "name": .string(PathParts(original.location).name), "layout": .string(original.layout),
    ]
    for fact in ["variants", "container", ModelSource.MovingAverage.fact] {
      found[fact] = original.provenance[fact]
    }
    // Facts that a file states about itself are kept in the next file.
    copy.provenance = [:]
    for fact in ["metadata", Prediction.fact] { copy.provenance[fact] = provenance[fact] }
    // Files without a provenance name the merged adapters.
    let merges = original.mergeSteps
    if !merges.isEmpty { copy.provenance[Self.stepsFact] = .array(merges) }
    let changes = original.changes.filter(\.isUnexpected)
    copy.lateProvenance = { [found] in
      var source = first ?? found
      if first == nil { source["sha256"] = .string(try digest.hexadecimal()) }
      var own = steps.map(\.json)
      if !changes.isEmpty, var first = own.first?.object {
        first["changes"] = .array(changes.map(\.json))
        own[0] = .object(first)
      }
      return [
        "tool": .string("decant \(toolVersion)"),
        "source": .object(source),
        Self.stepsFact: .array(earlier + own),
      ]
    }
    return copy
  }
}
