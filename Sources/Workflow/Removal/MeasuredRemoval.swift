internal import Calibration
internal import ModelSources
internal import Models
internal import Stripping
internal import Support

/// How far blocks are removed by measurement.
package enum RemovalLimit: Sendable, Hashable {
  /// To a share of the U-Net's parameters, from 0 to 1.
  case share(Double)
  /// To a number of the U-Net's parameters.
  case parameters(Int)
  /// As far as the relative error of the guided prediction allows, from 0 to 1.
  case error(Double)

  /// The setting that states it.
  var setting: Setting {
    switch self {
    case .share: .toSize
    case .parameters: .toParameters
    case .error: .maxError
    }
  }

  var json: JSONValue {
    switch self {
    case .share(let share): ["size": .number(share)]
    case .parameters(let count): ["parameters": .integer(count)]
    case .error(let error): ["max_error": .number(error)]
    }
  }
}

/// The removal of blocks with the error that it causes in recorded calls, for a model and an output.
struct MeasuredRemoval {
  /// Further blocks to drop, and what that does.
  struct Selection {
    let path: [StripSearch.Step]
    let drops: [String]
    let parameters: Int
    /// In all recorded calls.
    let error: Double
  }

  let model: Model
  private let units: [StripUnit]
  private let parameters: Int
  private let accepts: @Sendable (StripPlan) -> Bool
  private let joint: JointErrors
  private let calls: Int
  private let events: EventSink

  /// Calibrations with fewer prompts have a note. Measured on a miniature: with 2 prompts an error of 1.8 %
  /// was 4 to 4.8 % for others, with 12 prompts one of 1.2 % was 1.4 %.
  private static let fewPrompts = 4

  /// Refuses a limit that cannot be reached, and measures the scores of all units.
  ///
  /// - Parameters:
  ///   - calibration: a calibration of the model with recorded calls.
  ///   - limit: how far blocks will be removed; `nil` where they are chosen already.
  ///   - checkLoadable: throws where the output's program does not load a model.
  /// - Throws: ``JobError``, or as `JointErrors.init`.
  init(
    _ model: Model, _ calibration: CalibrationFile, _ limit: RemovalLimit? = nil,
    checkLoadable: @escaping @Sendable (ModelSource) throws -> Void,
    _ events: @escaping EventSink
  ) throws {
    let source = model.source
    accepts = { (try? checkLoadable($0.student(of: source))) != nil }
    units = StripUnit.all(of: model.unet)
    parameters = model.weights(of: ComponentName.unet).parameterCount
    self.model = model
    self.events = events
    calls = calibration.calls.count
    if let limit { try Self.check(limit, model, parameters, units, checkLoadable) }
    let prompts = Set(calibration.runs.map(\.prompt)).count
    if prompts < Self.fewPrompts {
      events(
        .note(
          "\(calibration.path) has \(counted(prompts, "prompt")): the error for other prompts can be two "
            + "to three times as large as the one that is stated",
          remedy: .choose(.calibration, purpose: "with more prompts")))
    }
    joint = try JointErrors(of: model, calibration, events)
  }

  /// Reads no weights.
  ///
  /// - Parameter checkLoadable: throws where the output's program does not load a model.
  /// - Throws: ``JobError`` for a U-Net of which no block can be removed.
  static func check(
    _ model: Model, checkLoadable: @escaping @Sendable (ModelSource) throws -> Void
  ) throws {
    try check(
      nil, model, model.weights(of: ComponentName.unet).parameterCount,
      StripUnit.all(of: model.unet), checkLoadable)
  }

  private static func check(
    _ limit: RemovalLimit?, _ model: Model, _ parameters: Int, _ units: [StripUnit],
    _ checkLoadable: @escaping @Sendable (ModelSource) throws -> Void
  ) throws {
    let (source, location) = (model.source, model.source.location)
    let search = StripSearch(
      model.unet, units: units.map { ($0, 0) },
      accepts: { (try? checkLoadable($0.student(of: source))) != nil })
    let least = search.leastParameters
    if least == parameters {
      // The program's reason is the same for all units, or near it.
      for unit in units {
        try checkLoadable(StripPlan(dropping: unit.drops, for: model.unet).student(of: source))
      }
      throw JobError("\(location): the U-Net has no block that can be removed")
    }
    guard let limit else { return }
    guard let wanted = limit.parameters(of: parameters) else { return }
    let found = "\(formatted(count: parameters)) parameters"
    if wanted >= parameters {
      throw JobError(
        "\(location): the U-Net has \(found), which is not more than \(formatted(count: wanted))",
        remedy: .adjust(limit.setting, .smaller))
    }
    if wanted < least {
      throw JobError(
        "\(location): the U-Net of \(found) cannot have \(formatted(count: wanted)) or fewer; the "
          + "fewest that the removal of blocks leaves are \(formatted(count: least)) "
          + "(\(percent(least, of: parameters)))",
        remedy: .adjust(limit.setting, .larger))
    }
  }

  /// The error of chosen blocks, in all recorded calls.
  func error(dropping drops: [String]) throws -> Double {
    let error = try joint.errorInAllCalls(dropping: drops)
    try joint.write()
    return error
  }

  /// Chooses blocks to remove.
  ///
  /// - Throws: ``JobError`` where no block can be removed, or the limit is not reached;
  ///   ``InterruptedSensitivities``; or an error of the sampler or the weights.
  func select(_ limit: RemovalLimit) throws -> Selection {
    let scored = joint.scored(units)
    let search = StripSearch(model.unet, units: scored, accepts: accepts)
    let bound: StripSearch.Limit =
      switch limit {
      case .error(let error): .error(error)
      case .share, .parameters: .parameters(limit.parameters(of: parameters) ?? 0)
      }
    var path = try self.path(search, until: bound)
    let percent = QuantizationTarget.error(0)
    guard let last = path.last else { throw refusal(limit, scored) }
    if let wanted = limit.parameters(of: parameters), last.parameters > wanted {
      throw JobError(
        "\(model.source.location): after \(counted(path.count, "removal")), "
          + "\(formatted(count: last.parameters)) parameters are left, and no other block can be "
          + "removed with these",
        remedy: .adjust(limit.setting, .larger))
    }
    var error = try error(dropping: last.drops)
    if case .error(let most) = limit, !(error <= most) {
      let further = try search.returning(from: path, to: most) {
        try self.error(dropping: $0)
      }
      guard let further, let end = further.last else {
        throw JobError(
          "\(model.source.location): in all \(calls) recorded calls, every removal causes an error above "
            + "\(percent.text(most)); that of all chosen ones is \(percent.text(error))",
          remedy: .adjust(limit.setting, .larger))
      }
      path += further
      error = end.error
    }
    let end = path.last ?? last
    return Selection(path: path, drops: end.drops, parameters: end.parameters, error: error)
  }

  /// The refusal of a limit within which no block can be removed.
  private func refusal(
    _ limit: RemovalLimit, _ scored: [(unit: StripUnit, error: Double)]
  ) -> JobError {
    let allowed = scored.filter { score in
      (try? StripPlan(dropping: score.unit.drops, for: model.unet)).map(accepts) == true
    }
    guard case .error(let most) = limit, let least = allowed.map(\.error).min() else {
      return JobError(
        "\(model.source.location): no block that has a score can be removed for this output")
    }
    let percent = QuantizationTarget.error(0)
    return JobError(
      "\(model.source.location): the removal of any block causes an error above "
        + "\(percent.text(most)); the smallest is \(percent.text(least))",
      remedy: .adjust(limit.setting, .larger))
  }

  /// The path of a search, whose measurements are kept.
  private func path(
    _ search: StripSearch, until limit: StripSearch.Limit
  ) throws -> [StripSearch.Step] {
    events(.stage(.choosingBlocks))
    let path = try search.run(until: limit) { [events] in
      events(.progress(done: $0, total: $1))
    } measure: {
      try joint.error(dropping: $0)
    }
    try joint.write()
    return path
  }

  /// The path as far as the error allows, in some recorded calls.
  func path(until error: Double) throws -> [StripSearch.Step] {
    try path(
      StripSearch(model.unet, units: joint.scored(units), accepts: accepts), until: .error(error))
  }

  /// The same; `nil` where it is not possible.
  func selectIfPossible(_ limit: RemovalLimit) throws -> Selection? {
    do { return try select(limit) } catch is JobError { return nil }
  }

  /// What is known of the removal of blocks, as a detail of the model that was written.
  ///
  /// - Parameters:
  ///   - selection: the blocks and how they were chosen.
  ///   - limit: `nil` for blocks that were not chosen by measurement.
  ///   - alternative: a selection with as many parameters.
  func outcome(
    dropping drops: [String], leaving left: Int, error: Double, path: [StripSearch.Step] = [],
    limit: RemovalLimit? = nil, alternative: Selection? = nil
  ) throws -> RemovalOutcome {
    RemovalOutcome(
      limit: limit, path: path, error: error, calls: calls, pathCalls: joint.chosenCalls,
      before: parameters, after: left, seconds: try joint.secondsPerStep(dropping: drops),
      alternative: alternative)
  }
}

extension RemovalLimit {
  /// The number of parameters of a U-Net with `all`; `nil` for a limit of the error.
  func parameters(of all: Int) -> Int? {
    switch self {
    case .share(let share): Int((share * Double(all)).rounded(.down))
    case .parameters(let count): count
    case .error: nil
    }
  }

}

/// `37.5 %`
func percent(_ part: Int, of whole: Int) -> String {
  "\(formatted(100 * Double(part) / Double(max(1, whole)), digits: 3)) %"
}
