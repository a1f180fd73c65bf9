import Foundation
import Support
import Synchronization
import Testing

@Suite struct ComputeQueueTests {
  /// Counts the pieces of work that have started, that run, and the most that ran at once.
  private final class Counts: Sendable {
    private let counts = Mutex((started: 0, running: 0, most: 0))

    var started: Int { counts.withLock { $0.started } }
    var most: Int { counts.withLock { $0.most } }

    func start() {
      counts.withLock {
        $0.started += 1
        $0.running += 1
        $0.most = max($0.most, $0.running)
      }
    }

    func end() { counts.withLock { $0.running -= 1 } }
  }

  /// Each queue has a thread, however many other queues compute. On the threads of the cooperative
  /// pool, of which each processor has one, not all of these could run at the same time.
  @Test func everyQueueHasItsOwnThread() async throws {
    let count = ProcessInfo.processInfo.activeProcessorCount + 4
    let counts = Counts()
    let sawAll = try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<count {
        group.addTask {
          try await ComputeQueue().run {
            counts.start()
            // A long limit, because other tests run at the same time.
            for _ in 0..<60_000 where counts.started < count { usleep(1000) }
            return counts.started == count
          }
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(sawAll == Array(repeating: true, count: count))
  }

  @Test func runsOnePieceOfWorkAtATime() async throws {
    let queue = ComputeQueue()
    let counts = Counts()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          try await queue.run {
            counts.start()
            usleep(2000)
            counts.end()
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(counts.most == 1)
  }

  @Test func setsTheThreadCountOfItsWork() async throws {
    let outside = Threads.count
    #expect(try await ComputeQueue(threads: 3).run { Threads.count } == 3)
    #expect(try await ComputeQueue().run { Threads.count } == outside)
    let inherited = try await Threads.withCount(5) {
      try await ComputeQueue().run { Threads.count }
    }
    #expect(inherited == 5)
    #expect(Threads.count == outside)
  }

  @Test func workSeesTheCancellationOfItsTask() async {
    let started = AsyncStream<Void>.makeStream()
    let task = Task {
      try await ComputeQueue().run {
        started.continuation.yield()
        // Ten minutes, unless the task is cancelled: other tests may keep it waiting.
        for _ in 0..<600_000 {
          try Task.checkCancellation()
          usleep(1000)
        }
      }
    }
    for await _ in started.stream { break }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  private struct Refused: Error {}

  @Test func throwsTheErrorOfItsWork() async {
    await #expect(throws: Refused.self) { try await ComputeQueue().run { throw Refused() } }
  }
}
