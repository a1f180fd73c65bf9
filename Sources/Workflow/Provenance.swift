internal import ModelSources
internal import Support

/// Decant's version, in files and on the command line.
package let toolVersion = "0.2.0"

/// What a job did to a model, on its way into the output's provenance.
///
/// Provenance has three members: `tool`, `source` (what was read first, with the digest of its
/// weights), and `steps`, to which each job adds its own.
struct ProvenanceStep: Sendable {
  let name: String
  /// Facts that are known when the job starts.
  let facts: JSONObject
  /// Facts that are known once every tensor was read.
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
  /// The model with its weights watched for the digest and `steps` noted in its provenance.
  ///
  /// - Parameter original: the model as it was read, before any step.
  func noting(_ steps: [ProvenanceStep], digest: SourceDigest, original: ModelSource) -> ModelSource
  {
    var copy = self
    let earlier = original.provenance["steps"]?.array ?? []
    // A model that Decant made keeps the source that it was made from.
    let first = original.provenance["source"]?.object
    var found: JSONObject = [
      "name": .string(lastPathComponent(original.location)), "layout": .string(original.layout),
    ]
    for fact in ["variants", "left_out", "container", ModelSource.MovingAverage.fact] {
      found[fact] = original.provenance[fact]
    }
    // What a file said of itself goes on to the next one.
    copy.provenance = [:]
    for fact in ["metadata", "prediction"] { copy.provenance[fact] = provenance[fact] }
    copy.lateProvenance = { [found] in
      var source = first ?? found
      if first == nil { source["sha256"] = .string(digest.hexadecimal) }
      return [
        "tool": .string("decant \(toolVersion)"),
        "source": .object(source),
        "steps": .array(earlier + steps.map(\.json)),
      ]
    }
    return copy
  }
}

/// A path's last name: what is told of a source without telling where it lay.
func lastPathComponent(_ path: String) -> String {
  path.split(separator: "/").last.map(String.init) ?? path
}
