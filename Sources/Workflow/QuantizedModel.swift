internal import Calibration
internal import ModelSources
internal import Models
internal import Quantization
internal import Support
internal import Tensors

/// A model whose weights are encoded as a request says, each tensor when it is read.
///
/// A dry run shows the plan that a real run carries out.
struct QuantizedModel {
  /// The plan of a component with the encodings that an output holds. The last argument is the
  /// scheme of weights that are not quantized.
  typealias Fitting = (QuantizationPlan, _ component: String, any Scheme) throws -> QuantizationPlan

  let model: ModelSource
  let plan: ModelPlan
  /// In the order of the plan.
  private let ledgers: [(component: String, ledger: QuantizationLedger)]
  private let request: QuantizationRequest
  private let calibration: JSONObject?
  private let spool: RoundingSpool?

  /// - Parameter part: whether the source may be a part of a model that has a U-Net.
  init(
    _ source: ModelSource, _ request: QuantizationRequest, orPart part: Bool = false,
    calibration: CalibrationFile? = nil, expectedCalls: Int = 0,
    sparingOutliers events: EventSink? = nil, spool: String? = nil,
    fitting fit: Fitting = { plan, _, _ in plan }
  ) throws {
    let bound = try source.bound(orPart: part)
    try self.init(
      source, try bound?.components ?? source.componentsWithModules(), of: bound, request,
      calibration: calibration, expectedCalls: expectedCalls, sparingOutliers: events, spool: spool,
      fitting: fit)
  }

  init(
    _ bound: Model, _ request: QuantizationRequest, calibration: CalibrationFile? = nil,
    expectedCalls: Int = 0, sparingOutliers events: EventSink? = nil, spool: String? = nil,
    fitting fit: Fitting
  ) throws {
    try self.init(
      bound.source, bound.components, of: bound, request, calibration: calibration,
      expectedCalls: expectedCalls, sparingOutliers: events, spool: spool, fitting: fit)
  }

  /// - Parameters:
  ///   - all: the checked components of the source.
  ///   - bound: the model; `nil` for a part of one.
  ///   - expectedCalls: the recorded calls of a calibration that does not exist yet.
  ///   - events: the events of reading the weights once, to leave out layers that outliers would
  ///     damage, and of rounding layers by a method that measures their inputs. With `nil`, the plan
  ///     depends on names and shapes alone.
  ///   - spool: the folder for layers that are rounded before the output is written; `nil` rounds
  ///     none ahead.
  ///   - fit: called before weights are read, so that its refusals come first, and again with the
  ///     plan without those layers.
  private init(
    _ source: ModelSource, _ all: [Model.Component], of bound: Model?,
    _ request: QuantizationRequest, calibration: CalibrationFile?, expectedCalls: Int,
    sparingOutliers events: EventSink?, spool: String?, fitting fit: Fitting
  ) throws {
    let rest = try request.restScheme()
    guard let unet = all.first(where: { $0.name == ComponentName.unet }) else {
      throw JobError.noUNet(source.location)
    }
    try calibration?.check(against: unet.modules)
    let components =
      [unet]
      + ComponentName.textEncoders.compactMap { name in all.first { $0.name == name } }
    let plans = try components.compactMap { component in
      try request.choices(
        of: component,
        calls: bound == nil ? 0 : calibration?.calls.count ?? expectedCalls
      ).map { choices in
        func fitted(_ plan: QuantizationPlan) throws -> QuantizationPlan {
          try fit(plan, component.name, choices.rest)
        }
        let plan = try fitted(QuantizationPlan(modules: component.modules, choices: choices))
        let kept = plan.keepingSensitive(by: choices, of: component.modules)
        return (component, choices, plan: try fitted(kept))
      }
    }
    var parts: [ModelPlan.Part] = []
    var quantized: [String: QuantizedSource] = [:]
    var roundingSpool: RoundingSpool?
    for (component, choices, fitted) in plans {
      var plan = fitted
      if let events {
        events(.stage(.checkingOutliers(component.name)))
        plan = try fit(
          try plan.sparingOutliers(in: component.weights, rest: choices.rest) {
            events(.progress(done: $0, total: $1))
          }, component.name, choices.rest)
        noteFindings(of: plan, component.name, events)
      }
      let isUNet = component.name == unet.name
      var rounded = RoundedLayers()
      if let events, let spool, let bound, isUNet, plan.method.usesMoments, plan.quantizes,
        let calibration
      {
        let folder = RoundingSpool(
          plan, calibration,
          weights: try SourceDigest(source).hexadecimal(of: [ComponentName.unet]),
          memory: request.memoryLimit, path: spool)
        rounded = try roundedLayers(
          of: component, in: bound, plan, calibration, memory: request.memoryLimit,
          spool: folder, events)
        roundingSpool = folder
      }
      quantized[component.name] = try QuantizedSource(
        component.weights, plan: plan, statistics: isUNet ? calibration?.statistics : nil,
        rounded: rounded)
      parts.append(ModelPlan.Part(component: component.name, plan: plan))
    }
    var model = source.mappingWeights { component -> any WeightSource in
      quantized[component.name]
        ?? (keepsTypes(component.name, rest, bound)
          ? component.weights : CastingSource(component.weights, to: rest))
    }
    model.addKeptTypes(rest, bound)
    self.model = model
    plan = ModelPlan(parts)
    ledgers = parts.compactMap { part in
      quantized[part.component].map { (part.component, $0.ledger) }
    }
    self.request = request
    self.calibration = calibration?.provenance
    self.spool = roundingSpool
  }

  /// Removes the layers that were rounded ahead. Called when the output is written.
  func removeSpool() { spool?.remove() }

  var step: ProvenanceStep {
    var facts: JSONObject = [
      "type": request.target == nil && request.plan == nil ? .string(request.type) : .null,
      "method": plan.parts.first.map { .string($0.plan.method.name) } ?? .null,
      "rest_type": .string(request.restType),
      "keep": .strings(request.keep),
      "only": .strings(request.only),
      "assign": .strings(request.assign),
    ]
    if let target = request.target { facts["target"] = target.json }
    if let type = request.textEncoderType { facts["text_encoder_type"] = .string(type) }
    // The second moments that fit in it decide on codes.
    if spool != nil { facts["memory"] = .integer(request.memoryLimit) }
    facts["calibration"] = calibration.map { .object($0) } ?? .null
    let ledgers = ledgers
    return ProvenanceStep("quantize", facts) { ["ledger": Self.json(of: ledgers)] }
  }

  /// The records of all ledgers, each with its component.
  private static func json(
    of ledgers: [(component: String, ledger: QuantizationLedger)]
  ) -> JSONValue {
    .array(ledgers.flatMap { ($0.ledger.json.array ?? []).naming($0.component) })
  }

  var detail: (name: String, json: JSONValue, text: String) {
    let groups = plan.parts.flatMap { $0.plan.groups.map(\.json).naming($0.component) }
    return ("quantize", ["plan": .array(groups), "ledger": Self.json(of: ledgers)], text)
  }

  private var text: String {
    let areSeveral = ledgers.count > 1
    var lines = [plan.text]
    var worst: [(name: String, sqnr: Double)] = []
    for (component, ledger) in ledgers {
      let records = ledger.records.filter(\.after.isQuantized)
      lines += records.errorLines(of: areSeveral ? " of \(component)" : "")
      worst += records.map { record in
        ((areSeveral ? "\(component)/" : "") + record.tensor, record.figures.sqnr)
      }
    }
    if worst.isEmpty { return plan.text }
    worst.sort { $0.sqnr < $1.sqnr }
    lines.append("lowest SQNR:")
    lines.append(
      table(
        worst.prefix(5).map { ["  " + $0.name, formatted($0.sqnr, digits: 4) + " dB"] },
        rightAligned: [1]))
    return lines.joined(separator: "\n")
  }
}

/// Notes the layers that a plan stores otherwise than requested, the first ones by name.
private func noteFindings(of plan: QuantizationPlan, _ component: String, _ events: EventSink) {
  let most = 5
  for finding in plan.findings.prefix(most) { events(.note("\(component): \(finding)")) }
  let more = plan.findings.count - most
  if more > 0 {
    events(.note("\(component): \(counted(more, "more such layer")); the plan has the reasons"))
  }
}

extension [QuantizationLedger.Record] {
  /// The mean errors of quantized tensors; empty for no tensors.
  ///
  /// - Parameter place: what the count of tensors is followed by: ` of text_encoder`.
  fileprivate func errorLines(of place: String) -> [String] {
    if isEmpty { return [] }
    // A tensor without error has an infinite SQNR, which would make every mean infinite.
    let exact = count { $0.figures.sqnr == .infinity }
    func mean(_ value: (RoundingFigures) -> Double) -> String {
      let values = map { value($0.figures) }.filter(\.isFinite)
      if values.isEmpty { return "-" }
      return formatted(values.reduce(0, +) / Double(values.count), digits: 4)
    }
    var lines = [
      "SQNR of \(count) quantized tensors\(place): mean \(mean(\.sqnr)) dB "
        + "(round to nearest \(mean(\.plainSQNR)) dB)"
        + (exact == 0 ? "" : "; \(counted(exact, "tensor")) without error")
    ]
    if allSatisfy({ $0.figures.weightedSQNR != nil }) {
      lines.append(
        "SQNR weighted by the calibration, which scales are optimized for: mean "
          + "\(mean { $0.weightedSQNR ?? 0 }) dB "
          + "(round to nearest \(mean { $0.plainWeightedSQNR ?? 0 }) dB)")
    }
    return lines
  }
}

extension ModelPlan {
  /// The plan as a table by scheme and reason, largest group of each component first. Several
  /// components are named in a column.
  var text: String {
    let areSeveral = parts.count > 1
    let heading = ["scheme", "tensors", "parameters", "bytes", "reason"]
    var rows = [(areSeveral ? ["component"] : []) + heading]
    for part in parts {
      rows += part.plan.groups.map { group in
        (areSeveral ? [part.component] : []) + [
          group.storedType, "\(group.tensors)", formatted(count: group.parameters),
          formatted(bytes: group.byteCount), group.reason,
        ]
      }
    }
    return table(rows, rightAligned: areSeveral ? [2, 3, 4] : [1, 2, 3])
  }
}

extension QuantizationPlan.Group {
  fileprivate var json: JSONValue {
    [
      "scheme": .string(scheme), "stored_as": .string(storedType), "reason": .string(reason),
      "tensors": .integer(tensors),
      "parameters": .integer(parameters), "bytes": .integer(byteCount),
    ]
  }
}
