import Foundation
import Support
import Synchronization
import TestSupport
import Testing

struct OrderedPipelineTests {
  private struct Refused: Error {}

  @Test func consumesInOrder() throws {
    var consumed: [Int] = []
    try produceInOrder(costs: Array(repeating: 1, count: 200)) { index in
      // Every third value takes longer than its neighbours.
      if index % 3 == 0 { usleep(300) }
      return index * index
    } consume: {
      #expect($1 == $0 * $0)
      consumed.append($0)
    }
    #expect(consumed == Array(0..<200))
  }

  /// Large weights and small biases alternate in every model: a thread that produces small values
  /// must not wait for a large value before them. Here value 0 is in production until the other
  /// threads have produced more values than one each, which they cannot if each waits for its turn.
  @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
  func threadsDoNotWaitForTheirTurn() throws {
    try withThreads(3) {
      let produced = Mutex(0)
      let sawLater = Mutex(false)
      try produceInOrder(costs: Array(repeating: 1, count: 8)) { index in
        if index == 0 {
          // A long limit, because other tests run at the same time.
          for _ in 0..<120_000 where produced.withLock({ $0 }) < 3 { usleep(1000) }
          sawLater.withLock { $0 = produced.withLock { $0 } >= 3 }
        } else {
          produced.withLock { $0 += 1 }
        }
        return index
      } consume: {
        #expect($0 == $1)
      }
      #expect(sawLater.withLock { $0 })
    }
  }

  @Test func boundsTheBytesProducedAhead() throws {
    let held = Mutex((now: 0, most: 0))
    let each = maximumBytesAhead / 3
    try produceInOrder(costs: Array(repeating: each, count: 40)) { index in
      held.withLock {
        $0.now += each
        $0.most = max($0.most, $0.now)
      }
      if index % 4 == 0 { usleep(2000) }
      return index
    } consume: { _, _ in
      held.withLock { $0.now -= each }
    }
    #expect(held.withLock { $0.most } <= maximumBytesAhead)
  }

  @Test func valueAboveTheLimitIsProducedAlone() throws {
    let costs = [1, 2 * maximumBytesAhead, 1, 2 * maximumBytesAhead]
    let held = Mutex(0)
    var consumed = 0
    try produceInOrder(costs: costs) { index in
      let before = held.withLock {
        $0 += costs[index]
        return $0 - costs[index]
      }
      if costs[index] > maximumBytesAhead { #expect(before == 0) }
      return index
    } consume: { index, _ in
      held.withLock { $0 -= costs[index] }
      consumed += 1
    }
    #expect(consumed == 4)
  }

  @Test(arguments: [0, 7, 39])
  func throwsTheFirstErrorInOrderAndConsumesNothingAfterIt(place: Int) {
    var consumed: [Int] = []
    #expect(throws: Refused.self) {
      try produceInOrder(costs: Array(repeating: 1, count: 40)) { index in
        if index == place { throw Refused() }
        if index == place + 1 { throw CocoaError(.fileNoSuchFile) }
        return index
      } consume: { index, _ in
        consumed.append(index)
      }
    }
    #expect(consumed == Array(0..<place))
  }

  @Test func throwsTheErrorOfConsume() {
    var consumed = 0
    #expect(throws: Refused.self) {
      try produceInOrder(costs: Array(repeating: 1, count: 40)) {
        $0
      } consume: { index, _ in
        if index == 5 { throw Refused() }
        consumed += 1
      }
    }
    #expect(consumed == 5)
  }

  @Test func stopsInACancelledTask() async {
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      try produceInOrder(costs: [1, 1, 1]) {
        $0
      } consume: { _, _ in
        Issue.record("taken")
      }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test func acceptsNoValues() throws {
    try produceInOrder(costs: []) {
      $0
    } consume: { _, _ in
      Issue.record("taken")
    }
  }
}
