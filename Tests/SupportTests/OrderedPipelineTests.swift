import Foundation
import Support
import Synchronization
import Testing

struct InOrderTests {
  private struct Refused: Error {}

  @Test func takesInOrderWhateverIsMadeFirst() throws {
    var taken: [Int] = []
    try produceInOrder(costs: Array(repeating: 1, count: 200)) { index in
      // Every third takes longer than its neighbours.
      if index % 3 == 0 { usleep(300) }
      return index * index
    } consume: {
      #expect($1 == $0 * $0)
      taken.append($0)
    }
    #expect(taken == Array(0..<200))
  }

  /// Weights and biases alternate in every model: whoever makes the small ones must not wait for
  /// the large ones between them. The first is made until others have made as many as there are
  /// threads, which the rest of them cannot where each waits after one.
  @Test(.enabled(if: Threads.count > 1))
  func nobodyWaitsForTheirTurn() throws {
    let many = Threads.count
    let made = Mutex(0)
    let sawLater = Mutex(false)
    try produceInOrder(costs: Array(repeating: 1, count: 2 * many + 2)) { index in
      if index == 0 {
        // A generous while: other tests run beside this one.
        for _ in 0..<120_000 where made.withLock({ $0 }) < many { usleep(1000) }
        sawLater.withLock { $0 = made.withLock { $0 } >= many }
      } else {
        made.withLock { $0 += 1 }
      }
      return index
    } consume: {
      #expect($0 == $1)
    }
    #expect(sawLater.withLock { $0 })
  }

  @Test func makesAheadOnlyWhatThereIsRoomFor() throws {
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

  @Test func oneAboveTheLimitIsMadeAlone() throws {
    let costs = [1, 2 * maximumBytesAhead, 1, 2 * maximumBytesAhead]
    let held = Mutex(0)
    var taken = 0
    try produceInOrder(costs: costs) { index in
      let before = held.withLock {
        $0 += costs[index]
        return $0 - costs[index]
      }
      if costs[index] > maximumBytesAhead { #expect(before == 0) }
      return index
    } consume: { index, _ in
      held.withLock { $0 -= costs[index] }
      taken += 1
    }
    #expect(taken == 4)
  }

  @Test(arguments: [0, 7, 39])
  func whatFailsFirstInOrderIsThrownAndNothingAfterIsTaken(place: Int) {
    var taken: [Int] = []
    #expect(throws: Refused.self) {
      try produceInOrder(costs: Array(repeating: 1, count: 40)) { index in
        if index == place { throw Refused() }
        if index == place + 1 { throw CocoaError(.fileNoSuchFile) }
        return index
      } consume: { index, _ in
        taken.append(index)
      }
    }
    #expect(taken == Array(0..<place))
  }

  @Test func whatTakingThrowsIsThrown() {
    var taken = 0
    #expect(throws: Refused.self) {
      try produceInOrder(costs: Array(repeating: 1, count: 40)) {
        $0
      } consume: { index, _ in
        if index == 5 { throw Refused() }
        taken += 1
      }
    }
    #expect(taken == 5)
  }

  @Test func aCancelledTaskStops() async {
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

  @Test func nothingIsNothing() throws {
    try produceInOrder(costs: []) {
      $0
    } consume: { _, _ in
      Issue.record("taken")
    }
  }
}
