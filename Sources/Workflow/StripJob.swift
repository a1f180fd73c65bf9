internal import Calibration
internal import ModelSources
internal import Models
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
  /// Blocks that are chosen by the errors that they cause in recorded calls. Needs a calibration.
  case measured(RemovalLimit)
}

/// Removes blocks of the U-Net and writes the rest.
package struct StripJob: Job {
  private let model: String
  private let reading: InputOptions
  private let output: OutputRequest
  private let cut: Cut
  private let calibration: String?

  /// - Parameter calibration: a calibration of the model, with which the error of the removal is
  ///   measured; `nil` measures nothing.
  package init(
    model: String, reading: InputOptions, output: OutputRequest, cut: Cut,
    calibration: String? = nil
  ) {
    self.model = model
    self.reading = reading
    self.output = output
    self.cut = cut
    self.calibration = calibration
  }

  package func perform(_ events: @escaping EventSink) async throws -> WrittenModel {
    let writer = try output.writer(
      besides: [model] + reading.composition.inputs + [calibration].compactMap { $0 })
    let source = try ModelSource.reading(
      model, reading, keepingKinds: true, changes: .listed, events)
    let digest = SourceDigest(source)
    let stripped = try StrippedModel(
      digest.watched, cut, calibration: calibration, for: output, by: writer, events)
    try output.checkEncodings(stripped.model, by: writer, offersTypes: false)
    try output.layout.checkChanges(of: stripped.model, by: writer)
    try output.write(stripped.model.recording([stripped.step], from: digest), by: writer, events)
    var outcome = WrittenModel(
      before: source, after: stripped.model, output: output, by: writer)
    outcome.details += stripped.details
    return outcome
  }
}

/// A model with blocks of its U-Net removed, and the ledger of what was removed.
struct StrippedModel {
  let model: ModelSource
  let ledger: StripLedger
  /// What the removal does; `nil` without a calibration.
  let removal: RemovalOutcome?

  /// - Parameters:
  ///   - calibration: the path of a calibration of `source`.
  ///   - output: what the result is for. Its program must load it.
  /// - Throws: ``StripError``, ``OutputProfileError`` for a result that the program does not load,
  ///   ``BindingError``, or as ``MeasuredRemoval``.
  init(
    _ source: ModelSource, _ cut: Cut, calibration: String? = nil, for output: OutputRequest,
    by writer: any ModelWriter, _ events: @escaping EventSink
  ) throws {
    let bound = try Model.bind(source)
    let checkLoadable: @Sendable (ModelSource) throws -> Void = {
      try output.checkLoadable($0, by: writer)
    }
    func measured(_ calibration: String, _ limit: RemovalLimit?) throws -> MeasuredRemoval {
      try MeasuredRemoval(
        bound, CalibrationFile.readingCalls(calibration, of: bound), limit,
        checkLoadable: checkLoadable, events)
    }
    func checked(_ plan: StripPlan) throws -> StripPlan {
      try output.checkLoadable(plan.student(of: source), by: writer)
      return plan
    }
    let plan: StripPlan
    let removal: RemovalOutcome?
    switch cut {
    case .recipe(let name, let keeping):
      plan = try checked(StripPlan(recipe: name, keeping: keeping, for: bound.unet))
      removal = try calibration.map { path in
        let measured = try measured(path, nil)
        let (drops, left) = (plan.ledger.drops, plan.ledger.student.parameters)
        return try measured.outcome(
          dropping: drops, leaving: left, error: try measured.error(dropping: drops),
          alternative: try measured.selectIfPossible(.parameters(left)))
      }
    case .drops(let blocks):
      plan = try checked(StripPlan(dropping: blocks, for: bound.unet))
      removal = try calibration.map {
        let measured = try measured($0, nil)
        return try measured.outcome(
          dropping: blocks, leaving: plan.ledger.student.parameters,
          error: try measured.error(dropping: blocks))
      }
    case .measured(let limit):
      guard let calibration else {
        throw JobError(
          "\(source.location): the choice of blocks by measurement needs a calibration",
          remedy: .choose(.calibration))
      }
      let measured = try measured(calibration, limit)
      let found = try measured.select(limit)
      plan = try StripPlan(dropping: found.drops, for: bound.unet)
      removal = try measured.outcome(
        dropping: found.drops, leaving: found.parameters, error: found.error, path: found.path,
        limit: limit)
    }
    try self.init(source, plan, removal, events)
  }

  /// - Throws: ``BindingError``.
  init(
    _ source: ModelSource, _ plan: StripPlan, _ removal: RemovalOutcome?, _ events: EventSink
  ) throws {
    model = plan.student(of: source)
    _ = try Model.bind(model)
    ledger = plan.ledger
    self.removal = removal
    if let warning = removal?.warning { events(.note(warning.text, remedy: warning.remedy)) }
  }

  var step: ProvenanceStep {
    var facts = ledger.json
    if let removal { facts["measured"] = .object(removal.provenance) }
    return ProvenanceStep("strip", facts)
  }

  var details: [(name: String, json: JSONValue, text: String)] {
    [("strip", .object(ledger.json), text)] + (removal.map { [$0.detail] } ?? [])
  }

  private var text: String {
    var lines = [
      "stripped \(counted(ledger.removed.count, "block")): "
        + "\(formatted(count: ledger.removedParameters)) of "
        + "\(formatted(count: ledger.teacher.parameters)) U-Net parameters "
        + "(\(percent(ledger.removedParameters, of: ledger.teacher.parameters)))"
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
