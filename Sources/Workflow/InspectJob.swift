internal import Models
private import Packfiles
package import Tensors

/// Tells what a model is, without reading its weights unless it checks them.
package struct InspectJob: Job {
  private let model: String
  private let reading: ReadingOptions
  private let listsTensors: Bool
  private let checks: Bool

  package init(model: String, reading: ReadingOptions, listsTensors: Bool, checks: Bool) {
    self.model = model
    self.reading = reading
    self.listsTensors = listsTensors
    self.checks = checks
  }

  package func run(_ events: @escaping EventSink) async throws -> Inspection {
    let source = try ModelSource.reading(model, reading)
    let bound = try Model.bind(source)
    if checks { try check(source, events) }
    return Inspection(source: source, model: bound, wasChecked: checks, listsTensors: listsTensors)
  }

  /// Every byte of a `.decant` file, or every tensor of another layout.
  private func check(_ source: ModelSource, _ events: EventSink) throws {
    events(.stage("checking \(model)"))
    if Packfile.recognizes(model) {
      try Packfile.check(model) { events(.progress(done: $0, total: $1)) }
    }
    let total = source.components.reduce(0) { $0 + $1.weights.byteCount }
    var done = 0
    for component in source.components {
      for name in component.weights.names {
        try Task.checkCancellation()
        done += try component.weights.tensor(name).byteCount
        events(.progress(done: done, total: total))
      }
    }
  }
}

/// What a model is.
package struct Inspection: JobOutcome {
  let source: ModelSource
  let model: Model
  let wasChecked: Bool
  let listsTensors: Bool

  private var prediction: (name: String, reason: String) {
    if let written = source.scheduler?["prediction_type"]?.string {
      return (written, "the scheduler's config says so")
    }
    return ("epsilon", "the scheduler's config says nothing, which means epsilon")
  }

  /// Encodings of a component's tensors with the bytes in each, most bytes first.
  private func encodings(_ weights: any WeightSource) -> [(name: String, bytes: Int)] {
    var bytes: [String: Int] = [:]
    for entry in weights.names.compactMap(weights.entry) {
      bytes[entry.encoding.name, default: 0] += entry.byteCount
    }
    return bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
  }

  /// Bytes of all weights with matrices at `bits` and everything else in float16.
  private func residentBytes(bits: Int) -> Int {
    model.components.flatMap(\.modules).reduce(0) { total, module in
      let width = module.kind.isMatrix ? bits : 16
      return total + module.weight.shape.count * width / 8 + (module.bias?.shape.count ?? 0) * 2
    }
  }

  private func blocks(
    of component: Model.Component
  ) -> [(name: String, parameters: Int, bytes: Int)] {
    var bytes: [String: Int] = [:]
    for module in component.modules {
      for tensor in module.tensors {
        bytes[module.block, default: 0] += component.weights.entry(tensor.name)?.byteCount ?? 0
      }
    }
    return component.modules.blocks.map { ($0.name, $0.parameters, bytes[$0.name] ?? 0) }
  }

  package var json: JSONValue {
    var object: JSONObject = [
      "path": .string(source.location),
      "layout": .string(source.layout),
      "bytes": .integer(bytesOnDisk(source.location)),
      "family": .string(model.family.name),
      "family_title": .string(model.family.title),
      "prediction_type": .string(prediction.name),
      "prediction_reason": .string(prediction.reason),
      "scheduler": source.scheduler?["_class_name"] ?? .null,
      "parameters": .integer(source.components.reduce(0) { $0 + $1.weights.parameterCount }),
      "components": .array(source.components.map { .object(json(of: $0)) }),
      "resident_bytes": [
        "f16": .integer(residentBytes(bits: 16)), "int8": .integer(residentBytes(bits: 8)),
      ],
      "provenance": .object(source.provenance),
    ]
    if wasChecked { object["checked"] = true }
    return .object(object)
  }

  private func json(of component: ModelSource.Component) -> JSONObject {
    let weights = component.weights
    var object: JSONObject = [
      "name": .string(component.name),
      "class": .string(component.className),
      "parameters": .integer(weights.parameterCount),
      "bytes": .integer(weights.byteCount),
      "tensors": .integer(weights.names.count),
      "encodings": .object(
        JSONObject(encodings(weights).map { ($0.name, .integer($0.bytes)) })),
    ]
    if let bound = model[component.name] {
      object["blocks"] = .array(
        blocks(of: bound).map {
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
            "shape": .array((entry?.shape.extents ?? []).map { .integer($0) }),
            "encoding": .string(entry?.encoding.name ?? ""),
            "bytes": .integer(entry?.byteCount ?? 0),
          ]
        })
    }
    return object
  }

  package var text: String {
    var lines = [
      "\(source.location): \(model.family.title) (\(model.family.name)), \(source.layout), "
        + formatted(bytes: bytesOnDisk(source.location)),
      "predicts \(prediction.name) (\(prediction.reason)); "
        + "scheduler \(source.scheduler?["_class_name"]?.string ?? "none")",
      "pictures of \(model.defaultSize.width)x\(model.defaultSize.height)",
      "",
    ]
    var rows = [["component", "parameters", "weights", "tensors", "stored as"]]
    for component in source.components {
      let encodings = encodings(component.weights)
      rows.append([
        component.name, formatted(count: component.weights.parameterCount),
        formatted(bytes: component.weights.byteCount), "\(component.weights.names.count)",
        encodings.map { "\($0.name) \(formatted(bytes: $0.bytes))" }.joined(separator: ", "),
      ])
    }
    lines.append(table(rows, rightAligned: [1, 2, 3]))
    if let unet = model["unet"] {
      lines.append("")
      lines.append(
        table(
          [["U-Net block", "parameters", "weights"]]
            + blocks(of: unet).map {
              [$0.name, formatted(count: $0.parameters), formatted(bytes: $0.bytes)]
            }, rightAligned: [1, 2]))
    }
    lines.append("")
    lines.append(
      "weights in memory: \(formatted(bytes: residentBytes(bits: 16))) in f16, "
        + "\(formatted(bytes: residentBytes(bits: 8))) in int8")
    if wasChecked { lines.append("checked: every byte is sound") }
    if listsTensors { lines += tensorLines }
    return lines.joined(separator: "\n")
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
