internal import ModelSources
internal import Models
package import Support
internal import Tensors

/// The description of a model.
package struct Inspection: JobOutcome {
  /// A component with its modules.
  private struct Part {
    let component: ModelSource.Component
    /// The component's modules; empty for a component that Decant does not run.
    let modules: [ModuleSpec]

    /// Parameters and bytes of each block, in the order of the module tree.
    var blocks: [(name: String, parameters: Int, bytes: Int)] {
      var bytes: [String: Int] = [:]
      for module in modules {
        for tensor in module.tensors {
          bytes[module.block, default: 0] += component.weights.entry(tensor.name)?.byteCount ?? 0
        }
      }
      return modules.blocks.map { ($0.name, $0.parameters, bytes[$0.name] ?? 0) }
    }

    /// The tensors' encodings with their bytes, most bytes first.
    var encodings: [(name: String, bytes: Int)] {
      var bytes: [String: Int] = [:]
      for entry in component.weights.entries {
        bytes[entry.encoding.name, default: 0] += entry.byteCount
      }
      return bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }
  }

  private let source: ModelSource
  private let finding: Finding
  private let parts: [Part]
  private let check: WeightCheck?
  private let listsTensors: Bool
  /// Bytes of all weights with the U-Net in int8, as `quantize` plans it; `nil` for an incomplete
  /// model and for one that is quantized already.
  private let int8Bytes: Int?
  /// `nil` for a file without a U-Net.
  private let memoryTable: MemoryTable?
  /// The forms in which the model can be written; `nil` where no memory was given.
  var forms: ModelForms?

  init(
    source: ModelSource, finding: Finding, check: WeightCheck?, listsTensors: Bool
  ) throws(ConfigError) {
    var parts: [Part] = []
    for component in source.components {
      parts.append(
        Part(component: component, modules: try component.modules(in: source.location) ?? []))
    }
    memoryTable = try source[ComponentName.unet].map { _ throws(ConfigError) in
      try MemoryTable(source)
    }
    int8Bytes = if case .model(let model) = finding { ModelForms.int8Bytes(of: model) } else { nil }
    self.source = source
    self.finding = finding
    self.parts = parts
    self.check = check
    self.listsTensors = listsTensors
  }

  private var model: Model? { if case .model(let model) = finding { model } else { nil } }

  /// The U-Net's prediction type, the reason for it, and whether the tensors leave it open.
  private var prediction: (name: String, reason: String, isCertain: Bool) {
    if let noted = source.prediction {
      return (noted.type.rawValue, noted.reason, noted.isCertain)
    }
    if let written = source.scheduler?[PredictionType.key]?.string {
      return (written, "from the scheduler's config", true)
    }
    return (
      PredictionType.standard.rawValue, "the default, because the scheduler's config has none", true
    )
  }

  package var suggestions: [Remedy] {
    let prediction: [Remedy] =
      hasUNet && !prediction.isCertain
      ? [.choose(.prediction, purpose: "if the U-Net predicts another type")] : []
    return prediction + source.changes.compactMap(\.remedy)
  }

  /// The number of changes that are printed.
  private static let listedChanges = 10

  /// What reading left out, changed, added or assumed.
  private var changeLines: [String] {
    let more = source.changes.count - Self.listedChanges
    return source.changes.prefix(Self.listedChanges).map(\.text)
      + (more > 0 ? ["and \(counted(more, "more change"))"] : [])
  }

  /// What a model without all components is called.
  private var incompleteTitle: String {
    source.components.map(\.name) == [ComponentName.unet] ? "U-Net alone" : "incomplete model"
  }

  private var hasUNet: Bool { source[ComponentName.unet] != nil }

  /// Facts about the components of an incomplete model: the models that they fit.
  private var partFacts: [String] {
    if model != nil { return [] }
    return source.components.compactMap { $0.facts(in: source.location) }
  }

  /// Bytes of all weights in float16.
  private var halfBytes: Int {
    parts.flatMap(\.modules).reduce(0) { total, module in
      total + (module.weight.shape.count + (module.bias?.shape.count ?? 0)) * 2
    }
  }

  // MARK: - For programs

  package var json: JSONValue {
    var object: JSONObject = [
      "path": .string(source.location),
      "layout": .string(source.layout),
      "bytes": .integer(bytesOnDisk(source.location)),
      "family": model.map { .string($0.family.name) } ?? .null,
      "family_title": model.map { .string($0.family.title) } ?? .null,
    ]
    if case .incomplete(let problem) = finding { object["problem"] = .string(problem.description) }
    if let doubt = model?.indexDoubt { object["index_doubt"] = .string(doubt) }
    let rest: JSONObject = [
      "prediction_type": .string(prediction.name),
      "prediction_reason": .string(prediction.reason),
      "prediction_certain": .bool(prediction.isCertain),
      "scheduler": source.scheduler?[ModelSource.schedulerClass] ?? .null,
      "parameters": .integer(source.components.reduce(0) { $0 + $1.weights.parameterCount }),
      "components": .array(parts.map { .object(json(of: $0)) }),
      "resident_bytes": [
        "f16": .integer(halfBytes), "int8": int8Bytes.map { .integer($0) } ?? .null,
      ],
    ]
    object = object.appending(rest)
    if let memoryTable { object["memory"] = memoryTable.json }
    if let forms { object["forms"] = forms.json }
    object["changes"] = .array(source.changes.map(\.json))
    object["provenance"] = .object(source.provenance)
    return .object(check.map { object.appending($0.json) } ?? object)
  }

  private func json(of part: Part) -> JSONObject {
    let (component, weights) = (part.component, part.component.weights)
    var object: JSONObject = [
      "name": .string(component.name),
      "class": .string(component.className),
      "parameters": .integer(weights.parameterCount),
      "bytes": .integer(weights.byteCount),
      "tensors": .integer(weights.names.count),
      "encodings": .object(
        JSONObject(part.encodings.map { ($0.name, .integer($0.bytes)) })),
    ]
    if !part.modules.isEmpty {
      object["blocks"] = .array(
        part.blocks.map {
          [
            "name": .string($0.name), "parameters": .integer($0.parameters),
            "bytes": .integer($0.bytes),
          ]
        })
    }
    if listsTensors {
      object["tensor_list"] = .array(
        weights.names.map { name in
          let entry = weights.entry(name)
          return [
            "name": .string(name),
            "shape": .integers(entry?.shape.extents ?? []),
            "encoding": .string(entry?.encoding.name ?? ""),
            "bytes": .integer(entry?.byteCount ?? 0),
          ]
        })
    }
    return object
  }

  // MARK: - For people

  package var text: String {
    let what = model.map { "\($0.family.title) (\($0.family.name))" } ?? incompleteTitle
    var lines = [
      "\(shown(source.location, limit: .max)): \(what), \(source.layout), "
        + formatted(bytes: bytesOnDisk(source.location))
    ]
    if case .incomplete(let problem) = finding { lines.append(problem.description) }
    if let doubt = model?.indexDoubt { lines.append(doubt) }
    if hasUNet {
      lines.append(
        "predicts \(shown(prediction.name)) (\(shown(prediction.reason))"
          + (prediction.isCertain ? "" : "; the tensors do not show it")
          + "); scheduler \(shown(source.scheduler?[ModelSource.schedulerClass]?.string ?? "none"))"
      )
    }
    lines += changeLines
    lines += partFacts
    if let size = model?.defaultSize { lines.append("images of \(size.width)x\(size.height)") }
    lines.append("")
    var rows = [["component", "parameters", "weights", "tensors", "stored as"]]
    for part in parts {
      let weights = part.component.weights
      rows.append([
        part.component.name, formatted(count: weights.parameterCount),
        formatted(bytes: weights.byteCount), "\(weights.names.count)",
        part.encodings.map { "\($0.name) \(formatted(bytes: $0.bytes))" }.joined(separator: ", "),
      ])
    }
    lines.append(table(rows, rightAligned: [1, 2, 3]))
    // The forms are the answer to a budget; the table of blocks would push it off the screen.
    for part in parts where forms == nil && part.component.name == ComponentName.unet {
      lines.append("")
      lines.append(
        table(
          [["U-Net block", "parameters", "weights"]]
            + part.blocks.map {
              [$0.name, formatted(count: $0.parameters), formatted(bytes: $0.bytes)]
            }, rightAligned: [1, 2]))
    }
    lines.append("")
    lines.append(memory)
    if let check { lines.append(check.text) }
    if listsTensors { lines += tensorLines }
    return lines.joined(separator: "\n")
  }

  private var memory: String {
    let weights =
      "weights in memory: \(formatted(bytes: halfBytes)) in f16"
      + (int8Bytes.map { ", \(formatted(bytes: $0)) with the U-Net in int8" } ?? "")
    guard let memoryTable, !memoryTable.rows.isEmpty else { return weights }
    return weights + "\n\nmemory to make one image with the weights as they are stored"
      + (model == nil ? ", of these components alone" : "")
      + "\n(the program itself and its libraries are not counted):\n" + memoryTable.text
  }

  private var tensorLines: [String] {
    source.components.flatMap { component in
      ["", component.name]
        + table(
          component.weights.names.compactMap { name in
            component.weights.entry(name).map {
              ["  " + name, "\($0.shape)", $0.encoding.name, formatted(bytes: $0.byteCount)]
            }
          }, rightAligned: [3]
        ).split(separator: "\n").map(String.init)
    }
  }
}
