internal import Calibration
internal import ModelSources
internal import Models
internal import Quantization
package import Support
internal import Tensors

/// The user's settings of how weights are stored.
package struct QuantizationRequest: Sendable {
  package var type: String
  /// The type of the text encoders' linear layers; `nil` stores text encoders as ``restType``.
  package var textEncoderType: String?
  /// `nil` is ``RoundingMethods/standard(hasMoments:)``.
  package var method: String?
  /// Bytes that a method may take for what it measures of layers; `nil` is a quarter of the
  /// machine's memory.
  package var memory: Int?
  package var keep: [String]
  /// The share of the weights, those of the most sensitive layers, that stays as ``restType``; `nil`
  /// is `SensitiveLayers.standardShare`.
  package var keptShare: Double?
  package var only: [String]
  /// `pattern=type`.
  package var assign: [String]
  package var restType: String
  /// What the output must meet; the types of layers are chosen for it. ``type`` is then that of the
  /// other weights, as with ``plan``.
  package var target: QuantizationTarget?
  /// The path of a plan with the types of all layers.
  package var plan: String?
  /// What rounding each part of the U-Net does, where it is measured.
  var sensitivities: Sensitivities?
  /// The types that a target or a plan chose, by component and module.
  var chosen: [String: [String: ChosenScheme]] = [:]

  /// - Parameter type: the type of the layers; `nil` with a target or a plan.
  package init(
    type: String?, textEncoderType: String? = nil, method: String? = nil,
    memory: Int? = nil, keep: [String] = [], keptShare: Double? = nil, only: [String] = [],
    assign: [String] = [], restType: String = defaultRestType,
    target: QuantizationTarget? = nil, plan: String? = nil
  ) {
    self.type = typeName(type ?? restType)
    self.target = target
    self.plan = plan
    self.textEncoderType = textEncoderType.map(typeName)
    self.method = method
    self.memory = memory
    self.keep = keep
    self.keptShare = keptShare
    self.only = only
    self.assign = assign.map(Self.withTypeName)
    self.restType = typeName(restType)
  }

  /// `PATTERN=TYPE` with Decant's name of the type. Text of another form stays as it is.
  private static func withTypeName(_ assignment: String) -> String {
    let sides = assignment.split(separator: "=", omittingEmptySubsequences: false)
    guard sides.count == 2 else { return assignment }
    return "\(sides[0])=\(typeName(String(sides[1])))"
  }

  /// The settings of a component with every name resolved; `nil` for a component that is stored as
  /// ``restType``. Patterns are those of the U-Net's modules.
  ///
  /// - Parameter calls: the number of recorded calls of a calibration that is at hand, or 0.
  /// - Throws: ``JobError`` for an unknown name, and for a method that needs recorded calls.
  func choices(
    of component: Model.Component, calls: Int
  ) throws -> QuantizationPlan.Choices? {
    if component.name == ComponentName.unet {
      return try unetChoices(component.modules, calls: calls)
    }
    guard ComponentName.textEncoders.contains(component.name),
      textEncoderType != nil || chosen[component.name] != nil
    else { return nil }
    let scheme = try namedScheme(textEncoderType ?? restType)
    var choices = QuantizationPlan.Choices(
      scheme: scheme, method: try roundingMethod(calls: calls),
      rest: scheme.encoding.isQuantized ? try restScheme() : scheme)
    choices.chosen = chosen[component.name] ?? [:]
    return choices
  }

  /// Whether the plan keeps the most sensitive layers.
  var keepsSensitive: Bool {
    target == nil && plan == nil && only.isEmpty
      && keptShare ?? SensitiveLayers.standardShare > 0
  }

  /// Measures what rounding each layer does, where the plan keeps the most sensitive layers and a
  /// calibration has enough calls, or sensitivities beside it.
  ///
  /// - Parameter byLayer: whether each layer is measured alone, and not whole resnets and transformer
  ///   blocks.
  /// - Throws: ``InterruptedSensitivities`` or an error of the calibration's sensitivities, the sampler
  ///   or the weights.
  mutating func measureErrors(
    of source: ModelSource, _ calibration: CalibrationFile?, byLayer: Bool = false,
    _ events: EventSink
  ) throws {
    guard keepsSensitive, try namedScheme(type).encoding.isQuantized, let calibration,
      calibration.allowsMeasurements || isFile(SensitivityFile.path(beside: calibration.path)),
      let model = try? Model.bind(source)
    else { return }
    sensitivities =
      try measuredSensitivities(of: model, calibration, byLayer: byLayer, events).sensitivities
  }

  /// The scheme of weights that are not quantized.
  func restScheme() throws -> any Scheme {
    try plainScheme(restType, noun: "type of the other weights")
  }

  private func roundingMethod(calls: Int) throws -> any RoundingMethod {
    guard let method else {
      return RoundingMethods.standard(hasMoments: calls >= CalibrationFile.measurableCalls)
    }
    guard let found = RoundingMethods.named(method) else {
      throw JobError(
        unknown: method, "rounding method", expected: roundingMethodNames)
    }
    if found.usesMoments, calls == 0 {
      throw JobError(
        "the rounding method \(found.name) needs a calibration with recorded calls",
        remedy: .choose(.calibration, purpose: "with a file that holds them"))
    }
    return found
  }

  private func unetChoices(
    _ modules: [ModuleSpec], calls: Int
  ) throws -> QuantizationPlan.Choices {
    let method = try roundingMethod(calls: calls)
    var choices = QuantizationPlan.Choices(
      scheme: try namedScheme(type), method: method, rest: try restScheme())
    choices.chosen = chosen[ComponentName.unet] ?? [:]
    if target == nil, plan == nil {
      choices.sensitive = SensitiveLayers(
        share: keptShare ?? SensitiveLayers.standardShare,
        errors: sensitivities?.guidedErrors(of: modules) ?? GuidedErrors(assuming: modules))
    }
    choices.keep = keep.map(ModulePattern.init)
    choices.only = only.map(ModulePattern.init)
    choices.assign = try assign.map { text in
      let pieces = text.split(separator: "=", omittingEmptySubsequences: false)
      guard pieces.count == 2, !pieces[0].isEmpty else {
        throw JobError(
          "assignment '\(shown(text))' is not PATTERN=TYPE, such as 'conv_out=int8'")
      }
      return (ModulePattern(String(pieces[0])), try namedScheme(String(pieces[1])))
    }
    return choices
  }

}

/// The scheme of that name.
///
/// - Throws: ``JobError`` for an unknown name.
func namedScheme(_ name: String) throws -> any Scheme {
  guard let scheme = Schemes.named(name) else {
    throw JobError(unknown: name, "type", expected: schemeNames)
  }
  return scheme
}

/// Quantizes the weights of the U-Net, and of the text encoders where requested, and writes the
/// model.
package struct QuantizeJob: Job {
  private let model: String
  private let reading: InputOptions
  private let output: OutputRequest?
  private let layout: LayoutRequest
  private let isDryRun: Bool
  private let request: QuantizationRequest
  private let calibration: String?

  /// - Parameters:
  ///   - output: where the model is written; `nil` plans without an output.
  ///   - layout: the layout to plan for without an output. An output has its own.
  ///   - isDryRun: whether the job only plans and writes nothing.
  package init(
    model: String, reading: InputOptions, output: OutputRequest?,
    layout: LayoutRequest = LayoutRequest(), isDryRun: Bool, request: QuantizationRequest,
    calibration: String?
  ) {
    self.model = model
    self.reading = reading
    var output = output
    // A dry run replaces nothing, so an existing output is no reason to refuse it.
    if isDryRun { output?.replacing = true }
    self.output = output
    self.layout = output?.layout ?? layout
    self.isDryRun = isDryRun
    self.request = request
    self.calibration = calibration
  }

  package func perform(_ events: @escaping EventSink) async throws -> QuantizeOutcome {
    let writer =
      try output?.writer(
        besides: [model] + reading.composition.inputs + (calibration.map { [$0] } ?? []))
      ?? layout.writer()
    let source = try ModelSource.reading(
      model, reading, changes: .listed, events)
    try source.checkHoldsUNet()
    var request = try request.readingPlan(for: source)
    try writer.checkLoadable(source, to: output?.path ?? model, options: layout.options)
    if try source.bound(orPart: writer.holdsParts) == nil { source.notePart(events) }
    let digest = SourceDigest(source)
    let file = try calibration.map(CalibrationFile.reading)
    func quantized(
      _ source: ModelSource, _ request: QuantizationRequest, sparingOutliers events: EventSink?
    ) throws -> QuantizedModel {
      try QuantizedModel(
        source, request, orPart: writer.holdsParts, calibration: file, sparingOutliers: events,
        spool: isDryRun ? nil : output.map { RoundingSpool.path(beside: $0.path) }
      ) {
        try layout.fitting($0, of: $1, in: source, by: writer, rest: $2, output: output?.path)
      }
    }
    let plannedModel = try quantized(source, request, sparingOutliers: nil)
    let planned = plannedModel.model
    try layout.checkChanges(of: planned, by: writer)
    var estimate: TargetOutcome?
    if request.target != nil {
      let search = try TargetSearch(
        source, request, for: BudgetOutput(layout, writer), location: output?.path ?? model,
        calls: file?.calls.count ?? 0, events
      ) { try quantized(source, $0, sparingOutliers: nil).model }
      if let output, !isDryRun {
        return .written(
          try write(to: output, by: writer, meeting: search, file, source, digest, events) {
            try quantized(digest.watched, $0, sparingOutliers: events)
          })
      }
      let plan = try search.plan(file, events)
      (request, estimate) = (plan.request, plan.outcome)
    }
    if let output, !isDryRun {
      let spooled =
        try plannedModel.plan[ComponentName.unet]?.spooledBytes(beside: output.path) ?? 0
      try requireSpace(
        try output.leastBytes(of: planned, by: writer) + spooled, for: output.path,
        beside: spooled > 0 ? "the rounded layers" : nil)
    }
    if !isDryRun { try request.measureErrors(of: source, file, events) }
    // A dry run writes nothing that would hold the digest.
    let quantized = try quantized(
      isDryRun ? source : digest.watched, request, sparingOutliers: events)
    if let note = try request.savingNote(quantized.plan, of: source, as: layout, by: writer) {
      events(.note(note))
    }
    guard let output, !isDryRun else {
      return .planned(
        try PlannedModel(
          plan: quantized.plan, of: quantized.model, as: layout, by: writer, estimate: estimate))
    }
    try output.write(
      quantized.model.recording([quantized.step], from: digest), by: writer, events)
    quantized.removeSpool()
    var outcome = WrittenModel(
      before: source, after: quantized.model, output: output, by: writer)
    outcome.details.append(quantized.detail)
    return .written(outcome)
  }

  /// Writes the model that meets a target.
  private func write(
    to output: OutputRequest, by writer: any ModelWriter, meeting search: TargetSearch,
    _ calibration: CalibrationFile?, _ source: ModelSource, _ digest: SourceDigest,
    _ events: EventSink, quantized: (QuantizationRequest) throws -> QuantizedModel
  ) throws -> WrittenModel {
    let found = try search.run(calibration, events, quantized: quantized) { model in
      let staged = StagedOutputs(replacing: output.replacing)
      let place = try output.stage(
        model.model.recording([model.step], from: digest), by: writer, in: staged, events)
      return (staged, bytesOnDisk(place))
    }
    try found.output.commit()
    found.model.removeSpool()
    var outcome = WrittenModel(
      before: source, after: found.model.model, output: output, by: writer)
    outcome.details += [found.model.detail, found.outcome.detail]
    return outcome
  }
}

extension ModelSource {
  /// - Throws: ``JobError`` for components without a U-Net, whose weights are quantized.
  fileprivate func checkHoldsUNet() throws {
    if self[ComponentName.unet] != nil || movingAverage == .ignoredWithoutOthers { return }
    let names = components.map(\.name)
    let whole =
      [ComponentName.unet] + Architectures.of(components).textEncoders + [ComponentName.vae]
    let missing = whole.filter { !names.contains($0) }
    throw JobError(
      "\(location): holds \(listed(names)) alone; the weights of a unet are quantized, and those of "
        + "its text encoders with it",
      remedy: .either([
        .addComponents(missing.compactMap(ComponentName.setting)),
        .act("convert it to another number type instead"),
      ]))
  }
}

/// The model that `quantize` wrote, or its plan.
package enum QuantizeOutcome: JobOutcome {
  case planned(PlannedModel)
  case written(WrittenModel)

  package var json: JSONValue {
    switch self {
    case .planned(let plan): plan.json
    case .written(let model): model.json
    }
  }

  package var text: String {
    switch self {
    case .planned(let plan): plan.text
    case .written(let model): model.text
    }
  }
}

/// The plan of a dry run, with the output that it is for.
package struct PlannedModel: JobOutcome {
  private let plan: ModelPlan
  /// The name of the layout.
  private let layout: String
  /// The name of the program.
  private let program: String
  /// The layout with the program, in messages.
  private let title: String
  /// Bytes of the tensors of the plan.
  private let bytes: Int
  /// Bytes of all weights of the output, before lossless coding.
  private let weightBytes: Int
  /// What a plan for a target is predicted to reach; `nil` without a target.
  private let estimate: TargetOutcome?
  /// What the output would lack, or have otherwise than the input.
  private let changes: [ModelChange]

  /// - Parameter model: the model that a real run gives to the writer.
  init(
    plan: ModelPlan, of model: ModelSource, as layout: LayoutRequest, by writer: any ModelWriter,
    estimate: TargetOutcome?
  ) throws {
    self.estimate = estimate
    let profile = try writer.profile(layout.options)
    self.plan = plan
    self.layout = writer.name
    program = profile.name
    title = writer.title(for: profile)
    bytes = plan.parts.reduce(0) { $0 + $1.plan.entries.reduce(0) { $0 + $1.byteCount } }
    weightBytes = profile.storedBytes(of: model)
    changes = try layout.changes(of: model, by: writer)
  }

  package var json: JSONValue {
    var object: JSONObject = [
      "layout": .string(layout), "program": .string(program), "plan": plan.json,
      "bytes": .integer(bytes), "weight_bytes": .integer(weightBytes),
      "changes": .array(changes.map(\.json)),
    ]
    if let estimate { object["budget"] = estimate.json }
    return .object(object)
  }

  /// The changes, as ``WrittenModel/listedChanges``.
  package var listedChanges: [(text: String, remedy: Remedy?)] { changes.listed }

  package var text: String {
    """
    plan of a \(title):
    \(plan.text)
    planned tensors: \(formatted(bytes: bytes)); all weights of the output: \
    \(formatted(bytes: weightBytes))
    """ + (estimate.map { "\n" + $0.text } ?? "")
  }
}
