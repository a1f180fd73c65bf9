internal import ModelSources
private import Models
internal import Stripping
internal import Support
internal import Tensors

/// The blocks of the U-Net to remove.
package enum Cut: Sendable {
  /// The blocks of a recipe, by name.
  ///
  /// `keeping` replaces the transformer blocks that the recipe keeps, by the depth of the
  /// attention.
  case recipe(String, keeping: [Int: [Int]] = [:])
  /// Blocks, by diffusers' names.
  case drops([String])
}

/// Removes blocks of the U-Net and writes the rest.
package struct StripJob: Job {
  private let model: String
  private let reading: InputOptions
  private let output: OutputRequest
  private let cut: Cut

  package init(model: String, reading: InputOptions, output: OutputRequest, cut: Cut) {
    self.model = model
    self.reading = reading
    self.output = output
    self.cut = cut
  }

  package func perform(_ events: @escaping EventSink) async throws -> WrittenModel {
    let writer = try output.writer(besides: [model] + reading.composition.inputs)
    let source = try ModelSource.reading(
      model, reading, keepingKinds: true, changes: .listed, events)
    let digest = SourceDigest(source)
    let stripped = try StrippedModel(digest.watched, cut)
    try output.checkLoadable(stripped.model, by: writer)
    try output.checkEncodings(stripped.model, by: writer, offersTypes: false)
    try output.layout.checkChanges(of: stripped.model, by: writer)
    try output.write(stripped.model.recording([stripped.step], from: digest), by: writer, events)
    var outcome = WrittenModel(
      before: source, after: stripped.model, output: output, by: writer)
    outcome.details.append(stripped.detail)
    return outcome
  }
}

/// A model with blocks of its U-Net removed, and the ledger of what was removed.
struct StrippedModel {
  let model: ModelSource
  let ledger: StripLedger

  init(_ source: ModelSource, _ cut: Cut) throws {
    let bound = try Model.bind(source)
    let plan =
      switch cut {
      case .recipe(let name, let keeping):
        try StripPlan(recipe: name, keeping: keeping, for: bound.unet)
      case .drops(let blocks): try StripPlan(dropping: blocks, for: bound.unet)
      }
    var model = source
    if let unet = model[ComponentName.unet] { model[ComponentName.unet] = plan.student(of: unet) }
    _ = try Model.bind(model)
    self.model = model
    ledger = plan.ledger
  }

  var step: ProvenanceStep { ProvenanceStep("strip", ledger.json) }

  var detail: (name: String, json: JSONValue, text: String) {
    ("strip", .object(ledger.json), text)
  }

  private var text: String {
    let share = Double(ledger.removedParameters) / Double(max(1, ledger.teacher.parameters))
    var lines = [
      "stripped \(counted(ledger.removed.count, "block")): "
        + "\(formatted(count: ledger.removedParameters)) of "
        + "\(formatted(count: ledger.teacher.parameters)) U-Net parameters "
        + "(\(formatted(100 * share, digits: 3)) %)"
    ]
    lines.append(
      table(
        ledger.removed.map { ["  " + $0.block, formatted(count: $0.parameters), $0.cause] },
        rightAligned: [1]))
    if !ledger.mirrored.isEmpty {
      lines.append(
        "also removed, so that a config can describe the rest: "
          + ledger.mirrored.joined(separator: ", "))
    }
    if !ledger.zeroed.isEmpty {
      lines.append(
        "kept and filled with zeros: "
          + ledger.zeroed.map(\.tensor).joined(separator: ", "))
    }
    return lines.joined(separator: "\n")
  }
}
