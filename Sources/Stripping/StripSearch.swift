package import Models
internal import Tensors

/// Chooses units of a U-Net to remove, by the errors that they cause.
///
/// The squared error of units that are removed together is about the sum of their own, so that units are
/// removed in the order of the squared
/// error that they add for each parameter that they save. The error of all removed units together is
/// measured before each removal. A unit that adds more than it was predicted to goes back into the queue
/// with the measured figure, and is removed where it is still the best one.
package struct StripSearch: Sendable {
  /// When the search ends.
  package enum Limit: Sendable, Hashable {
    /// At no more than this number of parameters.
    case parameters(Int)
    /// Where every further unit would raise the relative error above this.
    case error(Double)

    func isExceeded(by error: Double) -> Bool {
      if case .error(let limit) = self { !(error <= limit) } else { false }
    }

    func isReached(by parameters: Int) -> Bool {
      if case .parameters(let limit) = self { parameters <= limit } else { false }
    }
  }

  /// A removal, or the return of a unit that was removed before.
  package struct Step: Sendable, Equatable {
    package let unit: String
    package let isReturn: Bool
    /// All dropped blocks after the step.
    package let drops: [String]
    /// The relative error of the guided prediction without them.
    package let error: Double
    /// The parameters that are left.
    package let parameters: Int
  }

  /// A unit that is not removed yet.
  private struct Entry {
    let unit: StripUnit
    /// The squared error that its removal adds: predicted, or measured.
    var increase: Double
    /// The parameters that its removal saves.
    var saved: Int
    /// The error with it, where it is measured after the last step.
    var measured: (error: Double, plan: StripPlan)?

    var ratio: Double { increase / Double(saved) }
  }

  private let teacher: UNetConfig
  private let parameters: Int
  private let units: [(unit: StripUnit, error: Double)]
  private let accepts: @Sendable (StripPlan) -> Bool

  /// - Parameters:
  ///   - units: each with the relative error that its removal alone causes.
  ///   - accepts: whether a plan's result can be used.
  package init(
    _ teacher: UNetConfig, units: [(unit: StripUnit, error: Double)],
    accepts: @escaping @Sendable (StripPlan) -> Bool = { _ in true }
  ) {
    self.teacher = teacher
    self.units = units
    self.accepts = accepts
    parameters = teacher.modules.tensors.reduce(0) { $0 + $1.shape.count }
  }

  /// The plan of some drops; `nil` where they are not possible or their result cannot be used.
  private func plan(_ drops: [String]) -> StripPlan? {
    guard let plan = try? StripPlan(dropping: drops, for: teacher), accepts(plan) else {
      return nil
    }
    return plan
  }

  private func joined(_ drops: [String], _ unit: StripUnit) -> [String] {
    Set(drops).union(unit.drops).sorted()
  }

  /// The fewest parameters that the removal of units leaves, the largest first.
  package var leastParameters: Int {
    var (drops, least) = ([String](), parameters)
    for (unit, _) in units.sorted(by: { $0.unit.parameters > $1.unit.parameters }) {
      let wanted = joined(drops, unit)
      if let plan = plan(wanted), plan.ledger.student.parameters < least {
        (drops, least) = (wanted, plan.ledger.student.parameters)
      }
    }
    return least
  }

  /// Removes units until the limit, and returns what is not needed for it.
  ///
  /// - Parameters:
  ///   - progress: called with what is done and the total.
  ///   - measure: the relative error of the guided prediction without some blocks.
  /// - Returns: the steps; the last one has the result. Where no further unit can be removed, it does not
  ///   reach a limit of parameters.
  /// - Throws: what `measure` throws.
  package func run(
    until limit: Limit, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in },
    measure: ([String]) throws -> Double
  ) throws -> [Step] {
    var path: [Step] = []
    var chosen: [StripUnit] = []
    var drops: [String] = []
    var (error, left) = (0.0, parameters)
    // The error of a part is hardly larger than that of the whole.
    var queue = units.filter { !limit.isExceeded(by: $0.error) }.map {
      Entry(unit: $0.unit, increase: $0.error * $0.error, saved: $0.unit.parameters)
    }
    // Units that cannot be removed before another one is.
    var deferred: [Entry] = []
    let count = queue.count
    func report() {
      switch limit {
      case .parameters(let limit):
        progress(min(parameters - left, parameters - limit), parameters - limit)
      case .error: progress(count - queue.count - deferred.count, count)
      }
    }
    report()
    while !limit.isReached(by: left), let place = queue.indexOfBest(by: Self.isBefore) {
      var entry = queue.remove(at: place)
      if let (found, plan) = entry.measured {
        (error, left) = (found, plan.ledger.student.parameters)
        drops = joined(drops, entry.unit)
        chosen.append(entry.unit)
        path.append(
          Step(
            unit: entry.unit.name, isReturn: false, drops: drops, error: error, parameters: left))
        queue += deferred
        deferred = []
        for index in queue.indices { queue[index].measured = nil }
        report()
        continue
      }
      let wanted = joined(drops, entry.unit)
      guard let plan = plan(wanted) else {
        deferred.append(entry)
        continue
      }
      entry.saved = left - plan.ledger.student.parameters
      // A unit that is a part of removed ones saves nothing.
      if entry.saved > 0 {
        let found = try measure(wanted)
        if found.isFinite, !limit.isExceeded(by: found) {
          entry.increase = max(0, found * found - error * error)
          entry.measured = (found, plan)
          queue.append(entry)
        }
      }
      report()
    }
    if case .parameters = limit {
      path += try returns(of: chosen, error: error, until: limit, measure: measure)
    }
    return path
  }

  /// Returns units that are not needed for the limit, those that add the most parameters first.
  private func returns(
    of chosen: [StripUnit], error: Double, until limit: Limit,
    measure: ([String]) throws -> Double
  ) throws -> [Step] {
    var path: [Step] = []
    var (kept, error) = (chosen, error)
    for unit in chosen.sorted(by: { $0.parameters > $1.parameters }) {
      let rest = kept.filter { $0 != unit }
      let drops = Set(rest.flatMap(\.drops)).sorted()
      guard let plan = plan(drops), limit.isReached(by: plan.ledger.student.parameters) else {
        continue
      }
      let found = try measure(drops)
      guard found < error else { continue }
      (kept, error) = (rest, found)
      path.append(
        Step(
          unit: unit.name, isReturn: true, drops: drops, error: found,
          parameters: plan.ledger.student.parameters))
    }
    return path
  }

  /// Returns the units that were removed last until the error is at most `limit` in a second measurement,
  /// which costs more. The number of units is bisected, because errors grow from removal to removal.
  ///
  /// - Parameters:
  ///   - path: removals. The second measurement of all is above `limit`.
  ///   - measure: the second measurement of some drops.
  /// - Returns: the further steps; `nil` where even the first removal exceeds the limit.
  package func returning(
    from path: [Step], to limit: Double, measure: ([String]) throws -> Double
  ) rethrows -> [Step]? {
    // The error holds after the removal at `low`, and not after the one at `high`.
    var (low, high) = (-1, path.count - 1)
    var error = 0.0
    while high - low > 1 {
      let middle = (low + high) / 2
      let found = try measure(path[middle].drops)
      if found <= limit { (low, error) = (middle, found) } else { high = middle }
    }
    guard path.indices.contains(low) else { return nil }
    return path[(low + 1)...].reversed().map {
      Step(
        unit: $0.unit, isReturn: true, drops: path[low].drops, error: error,
        parameters: path[low].parameters)
    }
  }

  /// The less error for a parameter first; of equal ones, the larger unit.
  private static func isBefore(_ left: Entry, _ right: Entry) -> Bool {
    (left.ratio, right.saved) < (right.ratio, left.saved)
  }
}

extension Array {
  /// The first index of an element that is before all others.
  fileprivate func indexOfBest(by isBefore: (Element, Element) -> Bool) -> Int? {
    indices.min { isBefore(self[$0], self[$1]) }
  }
}
