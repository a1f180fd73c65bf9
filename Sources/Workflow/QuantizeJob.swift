internal import Calibration
internal import ModelSources
internal import Models
package import Quantization
package import Support
internal import Tensors

/// Names of the types that `quantize` and `shrink` accept.
package let schemeNames = Schemes.all.map(\.name)

/// The user's settings of how weights are stored.
package struct QuantizationRequest: Sendable {
  package var type: String
  package var method: String
  package var keep: [String]
  package var only: [String]
  /// `pattern=type`.
  package var assign: [String]
  package var restType: String

  package init(
    type: String, method: String = defaultRoundingMethod, keep: [String] = [], only: [String] = [],
    assign: [String] = [], restType: String = defaultRestType
  ) {
    self.type = typeName(type)
    self.method = method
    self.keep = keep
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

  /// The settings with every name resolved.
  func choices() throws -> QuantizationPlan.Choices {
    guard let method = RoundingMethods.named(method) else {
      throw JobError(
        unknown: method, "rounding method", expected: roundingMethodNames)
    }
    var choices = QuantizationPlan.Choices(
      scheme: try scheme(type), method: method,
      rest: try plainScheme(restType, noun: "type of the other weights"))
    choices.keep = keep.map(ModulePattern.init)
    choices.only = only.map(ModulePattern.init)
    choices.assign = try assign.map { text in
      let pieces = text.split(separator: "=", omittingEmptySubsequences: false)
      guard pieces.count == 2, !pieces[0].isEmpty else {
        throw JobError(
          "assignment '\(shown(text))' is not PATTERN=TYPE, such as 'conv_out=int8'")
      }
      return (ModulePattern(String(pieces[0])), try scheme(String(pieces[1])))
    }
    return choices
  }

  private func scheme(_ name: String) throws -> any Scheme {
    guard let scheme = Schemes.named(name) else {
      throw JobError(unknown: name, "type", expected: schemeNames)
    }
    return scheme
  }
}

/// Quantizes the U-Net's weights and writes the model.
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
    let source = try ModelSource.reading(model, reading, events)
    try writer.checkLoadable(source, to: output?.path ?? model, options: layout.options)
    let digest = SourceDigest(source)
    let file = try calibration.map(CalibrationFile.reading)
    let quantized = try QuantizedModel(digest.watched, request, calibration: file) { plan, rest in
      try layout.fitting(plan, by: writer, rest: rest, output: output?.path)
    }
    guard let output, !isDryRun else { return .planned(quantized.plan) }
    try output.write(
      quantized.model.recording([quantized.step], from: digest), by: writer, events)
    var outcome = WrittenModel(before: source, after: quantized.model, output: output)
    outcome.details.append(quantized.detail)
    return .written(outcome)
  }
}

/// The model that `quantize` wrote, or its plan.
package enum QuantizeOutcome: JobOutcome {
  case planned(QuantizationPlan)
  case written(WrittenModel)

  package var json: JSONValue {
    switch self {
    case .planned(let plan): ["plan": plan.json]
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

/// A model whose weights are encoded as a request says, each tensor when it is read.
///
/// Its plan depends on names and shapes alone, so a dry run shows the plan that a real run carries
/// out.
struct QuantizedModel {
  let model: ModelSource
  let plan: QuantizationPlan
  private let ledger: QuantizationLedger
  private let request: QuantizationRequest
  private let calibration: JSONObject?

  init(
    _ source: ModelSource, _ request: QuantizationRequest, calibration: CalibrationFile?,
    fitting fit: (QuantizationPlan, any Scheme) throws -> QuantizationPlan = { plan, _ in plan }
  ) throws {
    try self.init(try Model.bind(source), request, calibration: calibration, fitting: fit)
  }

  init(
    _ bound: Model, _ request: QuantizationRequest, calibration: CalibrationFile?,
    fitting fit: (QuantizationPlan, any Scheme) throws -> QuantizationPlan
  ) throws {
    let source = bound.source
    let choices = try request.choices()
    guard let unet = bound[ComponentName.unet] else {
      throw JobError("\(source.location): the model has no U-Net")
    }
    try calibration?.check(against: unet.modules)
    let plan = try fit(
      try QuantizationPlan(modules: unet.modules, choices: choices), choices.rest
    ).sparingOutliers(in: unet.weights, rest: choices.rest)
    let quantized = try QuantizedSource(
      unet.weights, plan: plan, statistics: calibration?.statistics)
    model = source.mappingWeights { component -> any WeightSource in
      if component.name == ComponentName.unet { return quantized }
      return cast(component.weights, of: component.name, to: choices.rest, model: bound) { _ in }
    }
    self.plan = plan
    self.request = request
    self.calibration = calibration?.provenance
    ledger = quantized.ledger
  }

  var step: ProvenanceStep {
    var facts: JSONObject = [
      "type": .string(request.type), "method": .string(request.method),
      "rest_type": .string(request.restType),
      "keep": .array(request.keep.map { .string($0) }),
      "only": .array(request.only.map { .string($0) }),
      "assign": .array(request.assign.map { .string($0) }),
    ]
    facts["calibration"] = calibration.map { .object($0) } ?? .null
    let ledger = ledger
    return ProvenanceStep("quantize", facts) { ["ledger": ledger.json] }
  }

  /// Records of quantized tensors, lowest SQNR first.
  private var worstFirst: [QuantizationLedger.Record] {
    ledger.records.filter(\.after.isQuantized).sorted { $0.figures.sqnr < $1.figures.sqnr }
  }

  var detail: (name: String, json: JSONValue, text: String) {
    (
      "quantize",
      ["plan": .array(plan.groups.map(\.json)), "ledger": ledger.json], text
    )
  }

  private var text: String {
    let records = worstFirst
    guard !records.isEmpty else { return plan.text }
    // A tensor without error has an infinite SQNR, which would make every mean infinite.
    let exact = records.filter { $0.figures.sqnr == .infinity }.count
    func mean(_ value: (RoundingFigures) -> Double) -> String {
      let values = records.map { value($0.figures) }.filter(\.isFinite)
      if values.isEmpty { return "-" }
      return formatted(values.reduce(0, +) / Double(values.count), digits: 4)
    }
    var lines = [plan.text]
    lines.append(
      "SQNR of \(records.count) quantized tensors: mean \(mean(\.sqnr)) dB "
        + "(round to nearest \(mean(\.plainSQNR)) dB)"
        + (exact == 0 ? "" : "; \(counted(exact, "tensor")) without error"))
    if records.allSatisfy({ $0.figures.weightedSQNR != nil }) {
      lines.append(
        "SQNR weighted by the calibration, which scales are optimized for: mean "
          + "\(mean { $0.weightedSQNR ?? 0 }) dB "
          + "(round to nearest \(mean { $0.plainWeightedSQNR ?? 0 }) dB)")
    }
    lines.append("lowest SQNR:")
    lines.append(
      table(
        records.prefix(5).map {
          ["  " + $0.tensor, formatted($0.figures.sqnr, digits: 4) + " dB"]
        }, rightAligned: [1]))
    return lines.joined(separator: "\n")
  }
}

extension QuantizationPlan {
  /// The plan as a table by scheme and reason, largest group first.
  fileprivate var text: String {
    table(
      [["scheme", "tensors", "parameters", "bytes", "reason"]]
        + groups.map {
          [
            $0.scheme, "\($0.tensors)", formatted(count: $0.parameters),
            formatted(bytes: $0.byteCount), $0.reason,
          ]
        }, rightAligned: [1, 2, 3])
  }
}

extension QuantizationPlan.Group {
  fileprivate var json: JSONValue {
    [
      "scheme": .string(scheme), "reason": .string(reason), "tensors": .integer(tensors),
      "parameters": .integer(parameters), "bytes": .integer(byteCount),
    ]
  }
}
