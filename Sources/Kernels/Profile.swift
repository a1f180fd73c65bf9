private import Foundation
private import Synchronization

/// Where the time of computing goes, by kind of operation and by block.
///
/// It is the process's, and off until it is started. Times are the wall's, of whole operations with
/// all their threads.
package enum Profile {
  /// What is timed.
  package enum Operation: String, CaseIterable, Sendable {
    case winograd = "convolution, Winograd's form"
    case convolution = "convolution, direct"
    case projection
    case int8 = "convolution and projection, int8"
    case quantizing = "activations to int8"
    case attention
    case normalization
    case elementwise
    case layout
  }

  /// Time that something took.
  package struct Share: Sendable, Equatable {
    package let name: String
    package var calls = 0
    package var seconds = 0.0
    /// Of all processors; 0 for operations, which are too short for the system to tell.
    package var processorSeconds = 0.0
    /// Multiplications with their additions, as the direct way counts them.
    package var products = 0.0

    init(name: String) { self.name = name }
  }

  /// What was found since ``start()``.
  package struct Findings: Sendable {
    /// By kind of operation, those that occurred; then all the rest.
    package var operations: [Share] = []
    /// By block, in the order in which they first ran.
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

  private static let isOn = Atomic<Bool>(false)
  private static let state = Mutex(State())

  package static func start() {
    state.withLock { $0 = State() }
    isOn.store(true, ordering: .relaxed)
  }

  /// Ends the profile and tells what it found.
  package static func finish() -> Findings {
    isOn.store(false, ordering: .relaxed)
    return state.withLock { state in
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

  /// Says that a block has run: it took the time since the last one.
  package static func ran(block name: String) {
    guard isOn.load(ordering: .relaxed) else { return }
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

  /// What `body` gives, timed.
  static func timing<Result>(
    _ operation: Operation, products: Int = 0, _ body: () -> Result
  ) -> Result {
    guard isOn.load(ordering: .relaxed) else { return body() }
    let start = ContinuousClock.now
    let result = body()
    let seconds = (ContinuousClock.now - start).seconds
    state.withLock { state in
      var share = state.operations[operation] ?? Share(name: operation.rawValue)
      share.calls += 1
      share.seconds += seconds
      share.products += Double(products)
      state.operations[operation] = share
    }
    return result
  }
}

/// Processor seconds of this process so far, in all threads.
package func processorSeconds() -> Double {
  var usage = rusage()
  guard getrusage(.init(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
  func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
  return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

extension Duration {
  /// The duration in seconds.
  package var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
