internal import Adapters
internal import Checkpoints
private import ModelSources
internal import Models
package import Support
internal import Tensors

/// The description of a model, of adapters, or of other tensors.
package enum InspectOutcome: JobOutcome {
  case model(Inspection)
  case adapter(AdapterInspection)
  case tensors(TensorInspection)

  private var description: any JobOutcome {
    switch self {
    case .model(let model): model
    case .adapter(let adapter): adapter
    case .tensors(let tensors): tensors
    }
  }

  package var json: JSONValue { description.json }
  package var text: String { description.text }
  package var suggestions: [Remedy] { description.suggestions }

  /// The forms in which the model can be written; `nil` where no memory was given.
  package var forms: ModelForms? { if case .model(let model) = self { model.forms } else { nil } }

  /// - Throws: ``JobError`` for a file that holds neither a model nor adapters.
  package func check() throws {
    if case .tensors(let tensors) = self { throw JobError(tensors.problem, remedy: tensors.remedy) }
  }
}

/// The description of a file of adapters, such as a LoRA.
package struct AdapterInspection: JobOutcome {
  private let facts: AdapterDescription
  private let check: WeightCheck?

  init(_ facts: AdapterDescription, check: WeightCheck?) {
    self.facts = facts
    self.check = check
  }

  private var bytes: Int { bytesOnDisk(facts.path) }

  /// Names of the architectures whose U-Nets take text states as wide as the adapted U-Net's.
  private var architectures: [String] {
    facts.textWidth.map(Family.architectures(takingTextOfWidth:)) ?? []
  }

  package var json: JSONValue {
    func counts(_ pairs: [(name: String, modules: Int)]) -> JSONValue {
      .object(JSONObject(pairs.map { ($0.name, .integer($0.modules)) }))
    }
    let object: JSONObject = [
      "path": .string(facts.path), "layout": .string(facts.container), "bytes": .integer(bytes),
      "family": .null, "adapter": true, "kinds": counts(facts.kinds),
      "not_merged": .strings(facts.unmerged),
      "modules": .integer(facts.kinds.reduce(0) { $0 + $1.modules }),
      "ranks": .object(JSONObject(facts.ranks.map { ("\($0.rank)", .integer($0.modules)) })),
      "alphas": .array(facts.alphas.map { .number($0) }),
      "components": counts(facts.components), "targets": counts(facts.targets),
      "text_width": facts.textWidth.map { .integer($0) } ?? .null,
      "architectures": .strings(architectures),
      "base_model": facts.baseModel.map { .string($0) } ?? .null,
      "tensors": .integer(facts.tensors), "parameters": .integer(facts.parameters),
      "unknown_tensors": .strings(facts.unknownTensors),
    ]
    return .object(check.map { object.appending($0.json) } ?? object)
  }

  package var text: String {
    func counts(_ pairs: [(name: String, modules: Int)]) -> String {
      listed(pairs.map { "\($0.name) \($0.modules)" })
    }
    let modules = facts.kinds.reduce(0) { $0 + $1.modules }
    var lines = [
      "\(shown(facts.path, limit: .max)): adapters (\(listed(facts.kinds.map(\.name)))) for "
        + "\(counted(modules, "module")), \(facts.container), \(formatted(bytes: bytes))",
      facts.unmerged.isEmpty
        ? "not a model by itself"
        : "not a model by itself; Decant cannot merge \(listed(facts.unmerged))",
      "",
    ]
    var rows: [[String]] = []
    if facts.kinds.count > 1 { rows.append(["kinds", counts(facts.kinds)]) }
    if facts.ranks.count == 1 {
      rows.append(["rank", "\(facts.ranks[0].rank)"])
    } else if !facts.ranks.isEmpty {
      rows.append([
        "ranks", listed(facts.ranks.map { "\($0.rank) in \(counted($0.modules, "module"))" }),
      ])
    }
    if let least = facts.alphas.first, let most = facts.alphas.last {
      rows.append([
        "alpha",
        formatted(least, digits: 3) + (least == most ? "" : " to \(formatted(most, digits: 3))"),
      ])
    }
    rows.append(["components", counts(facts.components)])
    rows.append(["targets", counts(facts.targets)])
    if let width = facts.textWidth {
      let models = architectures.isEmpty ? "" : ": \(architectures.joined(separator: ", "))"
      rows.append(["made for", "U-Nets with text embeddings of width \(width)" + models])
    }
    if let base = facts.baseModel { rows.append(["trained on", shown(base)]) }
    rows.append(["tensors", "\(facts.tensors), \(formatted(count: facts.parameters)) numbers"])
    if !facts.unknownTensors.isEmpty {
      rows.append(["unknown", listed(facts.unknownTensors, limit: 6)])
    }
    lines.append(table(rows))
    if let check { lines.append(check.text) }
    return lines.joined(separator: "\n")
  }

  package var suggestions: [Remedy] {
    [
      facts.unmerged.isEmpty
        ? .choose(.adapters, purpose: "to merge it into a model") : AdapterError.mergeElsewhere
    ]
  }
}

/// The description of a file of tensors that is not a model.
package struct TensorInspection: JobOutcome {
  private let path: String
  private let kind: String
  private let survey: TensorSurvey
  /// Why the file cannot be read as a model.
  let problem: String
  let remedy: Remedy?

  init(path: String, kind: String, survey: TensorSurvey, problem: String, remedy: Remedy?) {
    self.path = path
    self.kind = kind
    self.survey = survey
    self.problem = problem
    self.remedy = remedy
  }

  /// The most similar family and the file's differences from it; `nil` when the file has no U-Net.
  private var nearest: (family: Family, differences: [String])? {
    guard survey.foreignKind == nil, let unet = survey.unet else { return nil }
    return Family.nearest(to: unet)
  }

  package var json: JSONValue {
    var object: JSONObject = [
      "path": .string(path), "layout": .string(kind), "bytes": .integer(bytesOnDisk(path)),
      "family": .null, "problem": .string(problem),
      "tensors": .integer(survey.tensors), "parameters": .integer(survey.parameters),
      "groups": .object(JSONObject(survey.groups.map { ($0.prefix, .integer($0.tensors)) })),
      "marks": .object(
        JSONObject(
          survey.marks.map { mark in
            (mark.tensor, .integers(mark.shape.extents))
          })),
      "looks_like": survey.foreignKind.map { .string($0.description) } ?? .null,
    ]
    if let (family, differences) = nearest {
      object["nearest_family"] = .string(family.name)
      object["differences"] = .strings(differences)
    }
    return .object(object)
  }

  package var text: String {
    var lines = [
      "\(shown(path, limit: .max)): not a model, \(kind), \(formatted(bytes: bytesOnDisk(path))), "
        + "\(counted(survey.tensors, "tensor")), \(formatted(count: survey.parameters)) numbers"
    ]
    if let foreignKind = survey.foreignKind {
      lines.append("looks like \(foreignKind.description)")
    }
    if let (family, differences) = nearest {
      lines.append(
        "most similar family: \(family.name)"
          + (differences.isEmpty ? "" : "; this file has \(differences.joined(separator: "; "))"))
    } else if survey.unet == nil {
      lines.append("no family is similar: the file has no U-Net of Stable Diffusion")
    }
    let most = 12
    var rows = [["tensor names", "number"]]
    rows += survey.groups.prefix(most).map { [$0.prefix, "\($0.tensors)"] }
    let rest = survey.groups.dropFirst(most)
    if !rest.isEmpty { rows.append(["others", "\(rest.reduce(0) { $0 + $1.tensors })"]) }
    lines += ["", table(rows, rightAligned: [1])]
    if !survey.marks.isEmpty {
      lines += [
        "",
        table(
          [["notable tensor", "shape"]] + survey.marks.map { [shown($0.tensor), "\($0.shape)"] }),
      ]
    }
    return lines.joined(separator: "\n")
  }
}
