import Models
import Stripping
import Tensors
import Testing

/// The choice of units, with made-up errors.
@Suite struct StripSearchTests {
  private let teacher: UNetConfig
  private let units: [StripUnit]
  private let parameters: Int

  init() throws {
    teacher = try miniature()
    units = StripUnit.all(of: teacher)
    parameters = teacher.modules.tensors.reduce(0) { $0 + $1.shape.count }
  }

  private func unit(_ name: String) throws -> StripUnit {
    try #require(units.first { $0.name == name })
  }

  /// A search among units with these errors.
  private func search(
    _ errors: [String: Double], accepts: @escaping @Sendable (StripPlan) -> Bool = { _ in true }
  ) throws -> StripSearch {
    StripSearch(
      teacher, units: try errors.sorted { $0.key < $1.key }.map { (try unit($0.key), $0.value) },
      accepts: accepts)
  }

  /// The error of the joint removal: the root of the sum of squares.
  private func joint(_ errors: [String: Double], _ drops: [String]) throws -> Double {
    var sum = 0.0
    for (name, error) in errors where Set(try unit(name).drops).isSubset(of: drops) {
      sum += error * error
    }
    return sum.squareRoot()
  }

  @Test func aLimitOfTheErrorTakesAllThatFits() throws {
    let errors = [
      "mid_block": 0.01, "down_blocks.3": 0.019, "down_blocks.0.attentions.1": 0.001,
      "down_blocks.1.attentions.1": 0.5,
    ]
    var measured: [[String]] = []
    let path = try search(errors).run(until: .error(0.02)) {
      measured.append($0)
      return try joint(errors, $0)
    }
    // All three would have 0.0215; the mid block saves more for its error than the level.
    #expect(path.map(\.unit) == ["down_blocks.0.attentions.1", "mid_block"])
    #expect(path.allSatisfy { !$0.isReturn && $0.error <= 0.02 })
    #expect(zip(path, path.dropFirst()).allSatisfy { $0.error <= $1.error })
    #expect(zip(path, path.dropFirst()).allSatisfy { $0.parameters > $1.parameters })
    // A unit that is too harmful alone is not measured with others.
    #expect(!measured.contains { $0.contains("down_blocks.1.attentions.1") })
    let last = try #require(path.last)
    let plan = try StripPlan(dropping: last.drops, for: teacher)
    #expect(plan.ledger.student.parameters == last.parameters)
    #expect(last.error == (try joint(errors, last.drops)))
  }

  /// The second unit harms more where the first one is gone: a third one goes before it.
  @Test func theOrderFollowsMeasuredErrors() throws {
    let errors = [
      "down_blocks.0.attentions.0": 1e-4, "down_blocks.0.attentions.1": 2e-4, "mid_block": 0.05,
    ]
    let pair = ["down_blocks.0.attentions.0", "down_blocks.0.attentions.1"]
    let all = try pair.map { try unit($0).parameters }.reduce(0, +)
    let goal = parameters - all - (try unit("mid_block").parameters)
    var count = 0
    let path = try search(errors).run(until: .parameters(goal)) { drops in
      count += 1
      let extra = Set(pair).isSubset(of: drops) ? 0.3 : 0
      return try joint(errors, drops) + extra
    }
    #expect(path.map(\.unit) == ["down_blocks.0.attentions.0", "mid_block", pair[1]])
    #expect(count == 4)
  }

  @Test func aSizeIsReachedAndWhatIsNotNeededReturns() throws {
    let errors = ["down_blocks.0.attentions.1": 1e-6, "mid_block": 0.05]
    let goal = parameters - (try unit("mid_block").parameters)
    let path = try search(errors).run(until: .parameters(goal)) { try joint(errors, $0) }
    #expect(
      path.map(\.unit) == ["down_blocks.0.attentions.1", "mid_block", "down_blocks.0.attentions.1"])
    #expect(path.map(\.isReturn) == [false, false, true])
    #expect(path.last?.drops == ["mid_block"] && path.last?.parameters == goal)
    #expect(path.last?.error == 0.05)
  }

  /// Results that the output's program does not load are not measured.
  @Test func theProfileIsAskedFirst() throws {
    let errors = ["down_blocks.0.attentions.1": 0.001, "mid_block": 0.001, "down_blocks.3": 0.001]
    let search = try search(errors) { $0.student.midBlockType != nil }
    var measured: [[String]] = []
    let path = try search.run(until: .error(0.5)) {
      measured.append($0)
      return try joint(errors, $0)
    }
    #expect(Set(path.map(\.unit)) == ["down_blocks.0.attentions.1", "down_blocks.3"])
    #expect(!measured.contains { $0.contains("mid_block") })
    let least = try self.search(errors).leastParameters
    #expect(search.leastParameters == least + (try unit("mid_block").parameters))
    #expect(path.last?.parameters == search.leastParameters)
  }

  /// A unit that is only possible after another one, and one that is a part of another.
  @Test func unitsWaitForOthers() throws {
    let errors = [
      "down_blocks.0.attentions.1": 1e-6, "mid_block": 0.05, "mid_block.attentions.0": 0.01,
    ]
    let search = try search(errors) { plan in
      plan.student.midBlockType == nil || plan.ledger.drops == ["mid_block.attentions.0"]
    }
    let path = try search.run(until: .error(0.5)) { try joint(errors, $0) }
    #expect(
      path.map(\.unit) == ["mid_block.attentions.0", "mid_block", "down_blocks.0.attentions.1"])
  }

  /// What exceeds the limit in more calls is returned, the last removal first.
  @Test func removalsReturnUntilTheErrorHolds() throws {
    let errors = ["down_blocks.0.attentions.1": 1e-3, "mid_block": 0.01, "down_blocks.3": 0.012]
    let search = try search(errors)
    let path = try search.run(until: .error(0.02)) { try joint(errors, $0) }
    #expect(path.count == 3)
    // The error of all three is measured to be 1.5 times as large.
    var measured: [[String]] = []
    let found = try search.returning(from: path, to: 0.02) {
      measured.append($0)
      return 1.5 * (try joint(errors, $0))
    }
    let steps = try #require(found)
    #expect(steps.count == 1 && steps.allSatisfy(\.isReturn) && steps[0].unit == path[2].unit)
    #expect(steps[0].drops == path[1].drops && steps[0].parameters == path[1].parameters)
    #expect(steps[0].error == 1.5 * path[1].error && measured == [path[0].drops, path[1].drops])
    let most = search.returning(from: path, to: 0.02) { $0 == path[0].drops ? 0.01 : 1 }
    let two = try #require(most)
    #expect(two.map(\.unit) == [path[2].unit, path[1].unit] && two[1].drops == path[0].drops)
    #expect(two.allSatisfy { $0.error == 0.01 && $0.parameters == path[0].parameters })
    let none = search.returning(from: path, to: 0.001) { _ in 1 }
    #expect(none == nil)
  }

  @Test func progressGrowsToTheEnd() throws {
    let errors = ["down_blocks.0.attentions.1": 1e-3, "mid_block": 0.01, "down_blocks.3": 0.012]
    for limit in [StripSearch.Limit.error(0.011), .parameters(parameters - 1000)] {
      var reports: [(done: Int, total: Int)] = []
      _ = try search(errors).run(
        until: limit, progress: { reports.append(($0, $1)) },
        measure: { try joint(errors, $0) })
      #expect(reports.map(\.done) == reports.map(\.done).sorted())
      #expect(reports.last?.done == reports.last?.total && reports.first?.done == 0)
    }
  }
}
