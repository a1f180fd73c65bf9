import Foundation
import Support
import Synchronization
import Testing

@Suite struct ThreadsTests {
  @Test func theDefaultIsTheNumberOfProcessors() {
    #expect(Threads.count == ProcessInfo.processInfo.activeProcessorCount)
  }

  @Test func aCountAppliesToItsBodyAlone() async {
    let outside = Threads.count
    let inside = Threads.withCount(outside + 1) {
      [Threads.count, Threads.withCount(2) { Threads.count }, Threads.count]
    }
    #expect(inside == [outside + 1, 2, outside + 1])
    #expect(Threads.count == outside)

    let afterSuspension = await Threads.withCount(outside + 2) {
      await Task.yield()
      return Threads.count
    }
    #expect(afterSuspension == outside + 2)
    #expect(Threads.count == outside)
  }

  /// Each unit of nested work sees the count, on whichever thread it runs.
  @Test(arguments: [1, 2, 3, 7])
  func nestedWorkSeesTheCount(threads: Int) {
    let seen = Mutex<[Int]>([])
    Threads.withCount(threads) {
      parallel(20) { _ in
        parallel(3) { _ in seen.withLock { $0.append(Threads.count) } }
      }
    }
    #expect(seen.withLock { $0 } == Array(repeating: threads, count: 60))
  }

  @Test func producersSeeTheCount() throws {
    var seen: [Int] = []
    try Threads.withCount(3) {
      try produceInOrder(costs: Array(repeating: 1, count: 50)) { _ in
        Threads.count
      } consume: { _, count in
        seen.append(count)
      }
    }
    #expect(seen == Array(repeating: 3, count: 50))
  }

  /// The most units that run at the same time.
  private func width(units: Int) -> Int {
    let running = Mutex((now: 0, most: 0))
    parallel(units) { _ in
      running.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      usleep(2000)
      running.withLock { $0.now -= 1 }
    }
    return running.withLock { $0.most }
  }

  /// Two tasks that compute at the same time keep their own counts.
  @Test func concurrentTasksDoNotInfluenceOneAnother() async {
    let counts = [1, 2, 5]
    let seen = await withTaskGroup(of: (Int, Set<Int>, Int).self) { group in
      for count in counts {
        group.addTask {
          await Threads.withCount(count) {
            let seen = Mutex<Set<Int>>([])
            var widest = 0
            for _ in 0..<10 {
              await Task.yield()
              parallel(8) { _ in _ = seen.withLock { $0.insert(Threads.count) } }
              widest = max(widest, width(units: 8))
            }
            return (count, seen.withLock { $0 }, widest)
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(seen.count == counts.count)
    for (count, found, widest) in seen {
      #expect(found == [count])
      #expect(widest <= count, "\(widest) units at once with \(count) threads")
    }
  }

  /// The values of ``Cancellation/isRequested`` in nested work on two threads.
  private func requests() -> [Bool] {
    let seen = Mutex<[Bool]>([])
    let started = Mutex(0)
    Threads.withCount(2) {
      parallel(2) { _ in
        // Both threads take part. A long limit, because other tests run at the same time.
        started.withLock { $0 += 1 }
        for _ in 0..<120_000 where started.withLock({ $0 }) < 2 { usleep(1000) }
        seen.withLock { $0.append(Cancellation.isRequested) }
        parallel(2) { _ in seen.withLock { $0.append(Cancellation.isRequested) } }
      }
    }
    return seen.withLock { $0 }
  }

  @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
  func everyThreadSeesTheCancellationOfTheTask() async {
    let (before, after) = await Task {
      let before = requests()
      withUnsafeCurrentTask { $0?.cancel() }
      #expect(throws: CancellationError.self) { try Cancellation.check() }
      return (before, requests())
    }.value
    #expect(before == Array(repeating: false, count: 6))
    #expect(after == Array(repeating: true, count: 6))
    #expect(requests() == Array(repeating: false, count: 6))
  }
}
