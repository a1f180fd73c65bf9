internal import Calibration
internal import ModelSources
internal import Models
internal import Quantization
internal import Support

/// Chooses the types of layers for a target, and changes the choice until the quantized model meets
/// it.
struct TargetSearch {
  private let target: QuantizationTarget
  private var budget: Budget
  private let output: BudgetOutput
  /// The model before it is quantized.
  private var source: ModelSource
  private let request: QuantizationRequest
  /// `nil` for a part of a model.
  private var bound: Model?
  private var modules: [ModuleSpec]
  private let location: String
  /// The model that a request makes, without reading weights.
  private var planned: (QuantizationRequest) throws -> ModelSource
  /// The relative error of the blocks that are removed from the model.
  private var removalError = 0.0
  /// The errors of rounding the layers of a model without some blocks; `nil` where they are measured.
  private var knownErrors: GuidedErrors?

  /// The largest figure that is aimed at, relative to the target.
  private static let aim = 0.997
  /// The same of an error, which is corrected by a factor.
  private static let errorAim = 0.97
  /// The most models that are made.
  private static let attempts = 5

  /// Measures the options of each layer, and refuses a target that no choice reaches.
  ///
  /// - Parameters:
  ///   - source: the model before it is quantized.
  ///   - location: the output's path, for messages.
  ///   - calls: the number of recorded calls that are at hand, or will be.
  ///   - allowsRemoval: whether blocks may be removed, so that smaller figures can be reached.
  ///   - planned: the model that a request makes, without reading weights.
  /// - Throws: ``JobError`` for a target that cannot be reached.
  init(
    _ source: ModelSource, _ request: QuantizationRequest, for output: BudgetOutput,
    location: String, calls: Int, allowsRemoval: Bool = false, _ events: EventSink,
    planned: @escaping (QuantizationRequest) throws -> ModelSource
  ) throws {
    guard let target = request.target else {
      preconditionFailure("a search without a target")
    }
    self.target = target
    self.output = output
    self.source = source
    self.request = request
    self.location = location
    self.planned = planned
    bound = try? Model.bind(source)
    let components = try bound?.components ?? source.componentsWithModules()
    guard let unet = components.first(where: { $0.name == ComponentName.unet }) else {
      throw JobError.noUNet(source.location)
    }
    modules = unet.modules
    switch target {
    case .error where calls == 0, .error where bound == nil:
      throw Self.errorNeedsCalls(source)
    case .memory where bound == nil:
      throw JobError(
        "\(source.location): a target for the memory needs a complete model, and this is a part of one"
      )
    case .memory where !output.profile.usesGPU:
      throw JobError(
        "\(output.profile.title) computes on the processor, so that a target for the memory of a GPU "
          + "does not apply", remedy: .choose(.program, output.gpuPrograms))
    default: break
    }
    budget = try Budget(
      source, unet, request, planned: planned(request), for: output, events)
    // The order of sizes is that of any sensitivities.
    let curve = budget.curve(GuidedErrors(assuming: modules))
    if isError { return }
    let (least, most) = (try figure(curve.smallest), try figure(curve.largest))
    if allowsRemoval, !target.isMet(by: least) { return }
    try refuse(below: least, above: most)
  }

  /// The errors of rounding each layer: measured where a calibration has recorded calls, else assumed.
  func errors(
    _ calibration: CalibrationFile?, _ events: EventSink
  ) throws -> GuidedErrors {
    try knownErrors ?? guidedErrors(of: bound, modules: modules, calibration, events)
  }

  /// The search for the model without some blocks.
  ///
  /// - Parameters:
  ///   - errors: those of rounding the layers of the whole model.
  ///   - student: the model without the blocks.
  ///   - planned: the model that a request makes of it, without reading weights.
  func removing(
    _ cut: RemovalCut, _ errors: GuidedErrors, student: ModelSource,
    planned: @escaping (QuantizationRequest) throws -> ModelSource
  ) throws -> TargetSearch {
    var copy = self
    copy.budget = budget.removing(cut, from: modules)
    copy.knownErrors = errors.renamed(cut.names(in: modules))
    copy.removalError = cut.error
    copy.modules = cut.modules
    copy.source = student
    copy.bound = try Model.bind(student)
    copy.planned = planned
    return copy
  }

  /// What is predicted of the best choice of types.
  struct Prediction {
    /// The relative error of the guided prediction, with that of removed blocks.
    let error: Double
    /// Bytes of the output.
    let bytes: Double
  }

  /// - Returns: `nil` where no choice meets the target.
  func prediction(_ errors: GuidedErrors) throws -> Prediction? {
    let curve = budget.curve(errors)
    if isError, predicted(curve.largest, errors) > target.figure { return nil }
    let allocation = try allocation(errors, curve, target.figure)
    let error = predicted(allocation, errors)
    guard target.isMet(by: isError ? error : try figure(allocation)) else { return nil }
    return Prediction(error: error, bytes: budget.fixedBytes + allocation.bytes)
  }

  /// The smallest figure that a choice is predicted to reach.
  func leastFigure(_ errors: GuidedErrors) throws -> Double {
    let curve = budget.curve(errors)
    return isError ? predicted(curve.largest, errors) : try figure(curve.smallest)
  }

  /// The predicted relative error of an allocation. Squared errors of rounding and of removed blocks add
  /// up.
  private func predicted(_ allocation: Allocation, _ errors: GuidedErrors) -> Double {
    let rounding = errors.predicted(allocation) ?? 0
    return (rounding * rounding + removalError * removalError).squareRoot()
  }

  /// Refuses a target that is smaller, or larger, than what can be reached.
  ///
  /// - Parameters:
  ///   - least: the smallest figure that a choice reaches.
  ///   - most: the largest one.
  func refuse(below least: Double, above most: Double? = nil) throws {
    if !target.isMet(by: least) {
      throw JobError(
        "\(location): the \(target.noun) cannot be \(target.text(target.figure)) or less; the smallest "
          + "that can be reached is \(target.text(least))",
        remedy: .adjust(target.setting, .larger))
    }
    if let most, !target.isNearlyReached(by: most), target.isMet(by: most) {
      throw JobError(
        "\(location): the \(target.noun) is below \(target.text(target.figure)) with every choice; the "
          + "largest is \(target.text(most))",
        remedy: .adjust(target.setting, .smaller))
    }
  }

  /// The figure of an allocation, as far as it is known before weights are rounded.
  private func figure(_ allocation: Allocation) throws -> Double {
    switch target {
    case .size: return budget.fixedBytes + allocation.bytes
    case .bits: return budget.bits(allocation)
    case .error: return 0
    case .memory:
      guard let bound else { return 0 }
      let estimate = try MemoryEstimate(
        planned(choosing(allocation)), in: output.profile.memory, size: bound.defaultSize)
      return Double(estimate.peak?.total ?? 0)
    }
  }

  /// The request with the types of an allocation.
  private func choosing(_ allocation: Allocation) -> QuantizationRequest {
    var request = request
    request.chosen[ComponentName.unet] = budget.chosen(allocation)
    return request
  }

  /// What ``run(_:_:quantized:written:)`` found.
  struct Result<Output> {
    let model: QuantizedModel
    let output: Output
    let outcome: TargetOutcome
  }

  /// The request for a plan that is not carried out, with what is predicted of its model.
  func plan(
    _ calibration: CalibrationFile?, _ events: EventSink
  ) throws -> (request: QuantizationRequest, outcome: TargetOutcome) {
    let errors = try errors(calibration, events)
    let allocation = try allocation(errors, budget.curve(errors), target.figure)
    let error = predicted(allocation, errors)
    return (
      choosing(allocation),
      TargetOutcome(
        target: target, figure: isError ? error : try figure(allocation),
        predictedError: errors.isMeasured ? error : nil, measuredError: nil, attempts: 0)
    )
  }

  /// The best allocation whose figure is at most `limit`.
  private func allocation(
    _ errors: GuidedErrors, _ curve: AllocationCurve, _ limit: Double
  ) throws -> Allocation {
    switch target {
    case .size:
      return curve.allocation(within: limit - budget.fixedBytes) ?? curve.smallest
    case .bits:
      return curve.allocation(within: budget.layerBytes(bits: limit)) ?? curve.smallest
    case .error:
      let error = { predicted($0, errors) }
      guard let found = curve.smallest(where: { error($0) <= limit }) else {
        try refuse(below: error(curve.largest))
        return curve.largest
      }
      return found
    case .memory:
      return try curve.largest { try figure($0) <= limit } ?? curve.smallest
    }
  }

  /// Quantizes and writes the model until it meets the target.
  ///
  /// - Parameters:
  ///   - quantized: makes the model of a request, with rounded layers.
  ///   - written: writes a model, and returns the output with the bytes that it takes on disk. An
  ///     output that does not meet the target is dropped.
  /// - Throws: ``JobError`` where no attempt meets the target.
  func run<Output>(
    _ calibration: CalibrationFile?, _ events: EventSink,
    quantized: (QuantizationRequest) throws -> QuantizedModel,
    written: (QuantizedModel) throws -> (output: Output, bytes: Int)
  ) throws -> Result<Output> {
    let errors = try errors(calibration, events)
    if !errors.isMeasured {
      if isError { throw Self.errorNeedsCalls(source) }
      events(
        .note(
          "the sensitivity of the layers is assumed, because there is no calibration with recorded "
            + "calls",
          remedy: .choose(.calibration)))
    }
    let curve = budget.curve(errors)
    var limit = target.figure
    if case .size = target { limit *= Self.aim }
    if case .bits = target { limit *= Self.aim }
    var last: (figure: Double, bytes: Double)?
    for attempt in 1...Self.attempts {
      let allocation = try allocation(errors, curve, limit)
      let model = try quantized(choosing(allocation))
      var output: (output: Output, bytes: Int)?
      let figure: Double
      switch target {
      case .size:
        let made = try written(model)
        output = made
        figure = Double(made.bytes)
      case .bits: figure = try budget.measuredBits(of: model.model)
      case .error:
        figure = try calibration.flatMap { try error(of: model, $0, events) } ?? .infinity
      case .memory: figure = try self.figure(allocation)
      }
      // A target that is met, but not nearly, is accepted where another attempt would hardly change it.
      let isFinal =
        attempt == Self.attempts || allocation.bytes == last?.bytes
        || allocation.bytes >= curve.largest.bytes || isError && attempt > 2
      if target.isNearlyReached(by: figure) || target.isMet(by: figure) && isFinal {
        let whole = try output ?? written(model)
        let measured =
          isError ? figure : try calibration.flatMap { try error(of: model, $0, events) }
        return Result(
          model: model, output: whole.output,
          outcome: TargetOutcome(
            target: target, figure: figure,
            predictedError: errors.isMeasured ? predicted(allocation, errors) : nil,
            measuredError: measured, attempts: attempt, plan: model.plan.json))
      }
      last = (figure, allocation.bytes)
      limit = corrected(limit, by: figure)
    }
    throw JobError(
      "\(location): the \(target.noun) is \(target.text(last?.figure ?? 0)) after \(Self.attempts) "
        + "attempts, and must be at most \(target.text(target.figure))",
      remedy: .adjust(target.setting, .larger))
  }

  /// The limit for the next choice, after one of `limit` gave `figure`. Sizes differ from their estimates
  /// by what does not depend on the choice, and errors by a factor.
  private func corrected(_ limit: Double, by figure: Double) -> Double {
    switch target {
    case .size, .bits: limit + Self.aim * target.figure - figure
    case .error: limit * Self.errorAim * target.figure / max(figure, target.figure / 10)
    case .memory: limit - (figure - target.figure)
    }
  }

  private static func errorNeedsCalls(_ model: ModelSource) -> JobError {
    JobError(
      "\(model.location): a target for the error needs a complete model and a calibration with "
        + "recorded calls", remedy: .choose(.calibration))
  }

  var isError: Bool { if case .error = target { true } else { false } }

  /// The measured relative error of the guided prediction; `nil` for a part of a model, and for a
  /// calibration without recorded calls.
  private func error(
    of model: QuantizedModel, _ calibration: CalibrationFile, _ events: EventSink
  ) throws -> Double? {
    let calls = MomentRounding.calls(of: calibration)
    if bound == nil || calls.isEmpty { return nil }
    events(.stage(.measuringError(calls: calls.count)))
    return try GuidedErrorMeasurement(calibration, calls: calls)
      .relativeError(of: try Model.bind(model.model)) { events(.progress(done: $0, total: $1)) }
  }
}
