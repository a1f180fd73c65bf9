private import Checkpoints
internal import ModelSources
package import Support
internal import Tensors

/// The model that a job wrote, compared with the model that it read.
package struct WrittenModel: JobOutcome {
  /// A component that the output holds.
  package struct Part: Sendable {
    package let name: String
    package let parametersBefore: Int
    package let parametersAfter: Int
    package let bytesBefore: Int
    package let bytesAfter: Int
  }

  package let path: String
  /// Sizes of the encoded weights by component, before a file's lossless coding.
  package let parts: [Part]
  package let bytesOfInput: Int
  package let bytesOfOutput: Int
  /// Whether the output holds fewer components than the model that was read.
  package let isPart: Bool
  /// What a program needs beside an output that is a U-Net alone; empty for other outputs.
  package let missingParts: [ModelPart]
  /// How Python code loads the output; `nil` where the program needs no such code.
  package let loading: PythonLoading?
  /// The model that was read, where it is a diffusers folder with the config of the U-Net that was
  /// written.
  package let configFolder: String?
  /// What the output lacks, or has otherwise than the input.
  private let changes: [ModelChange]
  /// `nil` for a part of a model.
  package internal(set) var memory: OutputMemory?
  /// Further results of the job, such as a ledger.
  package var details: [(name: String, json: JSONValue, text: String)] = []

  /// - Parameters:
  ///   - before: the model that was read.
  ///   - after: the model that was given to the writer. Some programs read only a part of it, or
  ///     read some tensors as plain numbers.
  init(
    before: ModelSource, after: ModelSource, output: OutputRequest, by writer: any ModelWriter
  ) {
    path = output.path
    bytesOfInput = bytesOnDisk(of: before)
    bytesOfOutput = output.byteCount
    let profile = try? writer.profile(output.options)
    memory = profile.flatMap { OutputMemory(of: after, in: $0, besides: before) }
    changes = (try? output.layout.changes(of: after, by: writer)) ?? after.changes
    let names = profile?.components(heldOf: after) ?? Set(after.components.map(\.name))
    let held = (profile?.widened(after) ?? after).components.filter { names.contains($0.name) }
    isPart = held.count < before.components.count
    missingParts =
      held.map(\.name) == [ComponentName.unet] ? ModelPart.besidesUNet(of: before) : []
    loading = profile?.loading
    let isConfigFolder =
      after[ComponentName.unet].map {
        DiffusersFolderReader.folder(before.location, holdsConfigOf: $0)
      } ?? false
    configFolder = isConfigFolder ? before.location : nil
    parts = held.map { component in
      let old = before[component.name]?.weights
      return Part(
        name: component.name, parametersBefore: old?.parameterCount ?? 0,
        parametersAfter: component.weights.parameterCount, bytesBefore: old?.byteCount ?? 0,
        bytesAfter: component.weights.entries.reduce(0) {
          $0 + (profile?.stored($1) ?? $1).byteCount
        })
    }
  }

  package var json: JSONValue {
    var object: JSONObject = [
      "output": .string(path),
      "input_bytes": .integer(bytesOfInput),
      "output_bytes": .integer(bytesOfOutput),
      "components": .array(
        parts.map {
          [
            "name": .string($0.name),
            "parameters": [
              "before": .integer($0.parametersBefore), "after": .integer($0.parametersAfter),
            ],
            "bytes": ["before": .integer($0.bytesBefore), "after": .integer($0.bytesAfter)],
          ]
        }),
    ]
    if !missingParts.isEmpty {
      object["missing_parts"] = .array(missingParts.map { .string($0.rawValue) })
    }
    if let memory { object["memory"] = memory.json }
    object["changes"] = .array(changes.map(\.json))
    for detail in details { object[detail.name] = detail.json }
    return .object(object)
  }

  /// The changes, each on a line, with what a user can do about it: first those that the user did not
  /// ask for and that lose or assume something.
  package var listedChanges: [(text: String, remedy: Remedy?)] { changes.listed }

  /// The size of the output beside that of the input. A part of a model is compared with the same
  /// components of the input.
  private var sizes: String {
    var line = "\(path): \(formatted(bytes: bytesOfOutput))"
    if isPart {
      let names = parts.map(\.name)
      line += ", \(names == [ComponentName.unet] ? "U-Net" : listed(names)) alone"
    }
    // A synthesized model has no input.
    let before = !isPart ? bytesOfInput : parts.reduce(0) { $0 + $1.bytesBefore }
    guard bytesOfInput > 0, before > 0 else { return line }
    let percent = formatted(100 * Double(bytesOfOutput) / Double(before), digits: 3)
    return line + ", was \(formatted(bytes: before)) (\(percent) %)"
  }

  package var text: String {
    var rows = [["component", "parameters", "weights before", "after"]]
    for part in parts {
      rows.append([
        part.name,
        part.parametersBefore == part.parametersAfter
          ? formatted(count: part.parametersAfter)
          : "\(formatted(count: part.parametersBefore)) → \(formatted(count: part.parametersAfter))",
        formatted(bytes: part.bytesBefore), formatted(bytes: part.bytesAfter),
      ])
    }
    return
      ([table(rows, rightAligned: [1, 2, 3]), sizes, memory?.text ?? ""] + details.map(\.text))
      .filter { !$0.isEmpty }.joined(separator: "\n")
  }
}
