private import Foundation
private import Support
private import Synchronization

/// A profile of the time that operations and blocks take.
///
/// It is a task-local value: a task's operations are recorded only in the profile that it is in, so
/// jobs and sessions that run at the same time do not mix. Times are wall-clock times of whole
/// operations with all their threads.
package final class Profile: Sendable {
  /// The kinds of operations that are timed.
  package enum Operation: String, CaseIterable, Sendable {
    case winograd = "convolution, Winograd"
    case convolution = "convolution, direct"
    case projection
    case int8 = "convolution and projection, int8"
    case quantizing = "activations to int8"
    case attention
    case normalization
    case elementwise
    case layout
  }

  /// The time of one kind of operation, or of one block.
  package struct Share: Sendable, Equatable {
    package let name: String
    package var calls = 0
    package var seconds = 0.0
    /// The processor time of all threads of the process, including those of other tasks; 0 for
    /// operations, which are too short to measure.
    package var processorSeconds = 0.0
    /// The multiply-adds, as many as the direct algorithm needs.
    package var products = 0.0

    init(name: String) { self.name = name }
  }

  /// The result of a profile.
  package struct Findings: Sendable {
    /// The kinds of operations that occurred, then all the rest.
    package var operations: [Share] = []
    /// The blocks, in the order in which they first ran.
    package var blocks: [Share] = []
    package var seconds = 0.0
  }

  private struct State {
    var operations: [Operation: Share] = [:]
    var blocks: [Share] = []
    var places: [String: Int] = [:]
    var begin = ContinuousClock.now
    var mark = ContinuousClock.now
    var processorMark = processorSeconds()
  }

  @TaskLocal private static var current: Profile?

  private let state = Mutex(State())

  private init() {}

  /// Runs `body` and profiles the operations and blocks that it runs in this task.
  ///
  /// - Throws: what `body` throws.
  package static func measure(_ body: () throws -> Void) rethrows -> Findings {
    let profile = Profile()
    try $current.withValue(profile, operation: body)
    return profile.findings
  }

  private var findings: Findings {
    state.withLock { state in
      var findings = Findings()
      findings.operations = Operation.allCases.compactMap { state.operations[$0] }
      findings.blocks = state.blocks
      findings.seconds = (ContinuousClock.now - state.begin).seconds
      var rest = Share(name: "all the rest")
      rest.seconds =
        findings.seconds - findings.operations.reduce(0) { $0 + $1.seconds }
      findings.operations.append(rest)
      return findings
    }
  }

  /// Records that a block has run, if this task is profiled. The block's time is the time since the
  /// previous block.
  package static func ran(block name: String) { current?.record(block: name) }

  private func record(block name: String) {
    state.withLock { state in
      let place = state.places[name] ?? state.blocks.count
      if place == state.blocks.count {
        state.places[name] = place
        state.blocks.append(Share(name: name))
      }
      let now = ContinuousClock.now
      state.blocks[place].calls += 1
      state.blocks[place].seconds += (now - state.mark).seconds
      state.mark = now
      let processor = processorSeconds()
      state.blocks[place].processorSeconds += processor - state.processorMark
      state.processorMark = processor
    }
  }

  /// Runs `body`, and records its time if this task is profiled.
  ///
  /// - Parameter products: the multiply-adds of the direct algorithm.
  static func timing<Result>(
    _ operation: Operation, products: Int = 0, _ body: () -> Result
  ) -> Result {
    guard let profile = current else { return body() }
    let start = ContinuousClock.now
    let result = body()
    let seconds = (ContinuousClock.now - start).seconds
    profile.state.withLock { state in
      var share = state.operations[operation] ?? Share(name: operation.rawValue)
      share.calls += 1
      share.seconds += seconds
      share.products += Double(products)
      state.operations[operation] = share
    }
    return result
  }
}

/// The processor time of all threads of this process so far, in seconds.
package func processorSeconds() -> Double {
  var usage = rusage()
  guard getrusage(.init(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
  func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
  return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
