package import Support

/// Marks of what no input of a model states, in files that Decant writes. With them, a part of the model
/// replaces only defaults of another model.
///
///     "defaults": ["index", "scheduler", "tokenizer/vocab.json"], "evidence": {…}
///
/// `"evidence"` has what the file of the U-Net shows of the prediction type, where the scheduler is a
/// default. A provenance also has `"derived": ["unet"]`, the components whose config was derived from
/// tensors.
package struct DefaultMarks: Sendable {
  private static let defaults = "defaults"
  private static let evidence = "evidence"
  private static let derived = "derived"
  // The entries of `defaults` that are no paths.
  private static let index = "index"
  private static let scheduler = "scheduler"

  private let names: Set<String>
  private let evidence: JSONObject?
  private let derived: Set<String>

  /// Reads the marks among the members of an object. Members of other kinds count as absent.
  package init(among members: JSONObject) {
    func texts(_ name: String) -> Set<String> {
      Set(members[name]?.array?.compactMap(\.string) ?? [])
    }
    names = texts(Self.defaults)
    derived = texts(Self.derived)
    evidence = members[Self.evidence]?.object
  }

  /// Whether the file at that path in a diffusers folder is a default.
  package func hasFile(_ path: String) -> Bool { names.contains(path) }

  /// Marks the index, the scheduler and derived configs of a model.
  package func restore(in model: inout ModelSource) {
    model.indexIsDefault = names.contains(Self.index)
    model.schedulerIsDefault = model.scheduler != nil && names.contains(Self.scheduler)
    if model.schedulerIsDefault {
      model.predictionEvidence = evidence.map(PredictionEvidence.init(json:))
    }
    for index in model.components.indices where derived.contains(model.components[index].name) {
      model.components[index].configIsDerived = true
    }
  }

  /// The marks of defaults for a file that holds a model; none where inputs state everything.
  ///
  /// - Parameter paths: the model's small files that the file holds.
  package static func members(of model: ModelSource, holding paths: [String]) -> JSONObject {
    let held = Set(paths)
    let names =
      (model.indexIsDefault ? [index] : []) + (model.schedulerIsDefault ? [scheduler] : [])
      + model.files.filter { $0.isDefault && held.contains($0.path) }.map(\.path)
    var members: JSONObject = [:]
    if !names.isEmpty { members[defaults] = .strings(names) }
    if model.schedulerIsDefault, let found = model.predictionEvidence {
      members[evidence] = .object(found.json)
    }
    return members
  }

  /// A provenance with the marks of a file that holds a whole model, instead of earlier ones.
  package static func provenance(_ provenance: JSONObject, marking model: ModelSource) -> JSONObject
  {
    let components = model.components.filter(\.configIsDerived).map(\.name)
    var whole = removed(from: provenance)
    if !components.isEmpty { whole[derived] = .strings(components) }
    for (name, value) in members(of: model, holding: model.files.map(\.path)).members {
      whole[name] = value
    }
    return whole
  }

  /// A provenance without marks.
  package static func removed(from provenance: JSONObject) -> JSONObject {
    var rest = provenance
    for name in [defaults, evidence, derived] { rest[name] = nil }
    return rest
  }
}
