import Foundation
import Support
import Synchronization
import Testing
import Workflow

/// How every job runs.
@Suite struct JobTests {
  private struct Result: JobOutcome {
    let name: String
    var json: JSONValue { .string(name) }
    var text: String { name }
  }

  /// A job that occupies its thread until as many of its kind run at the same time.
  private struct Blocking: Job {
    final class Counts: Sendable {
      private let counts = Mutex(0)
      var running: Int { counts.withLock { $0 } }
      func start() { counts.withLock { $0 += 1 } }
    }

    let counts: Counts
    let expected: Int

    func perform(_ events: @escaping EventSink) async throws -> Result {
      counts.start()
      // A long limit, because other tests run at the same time.
      for _ in 0..<60_000 where counts.running < expected { usleep(1000) }
      return Result(name: counts.running == expected ? "all ran" : "\(counts.running) ran")
    }
  }

  /// On the threads of the cooperative pool, of which each processor has one, not all of these jobs
  /// could run at the same time.
  @Test func everyJobHasItsOwnThread() async throws {
    let count = ProcessInfo.processInfo.activeProcessorCount + 4
    let job = Blocking(counts: Blocking.Counts(), expected: count)
    let results = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<count { group.addTask { try await job.run { _ in }.text } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(results == Array(repeating: "all ran", count: count))
  }

  private struct Counting: Job {
    func perform(_ events: @escaping EventSink) async throws -> Result {
      Result(name: "\(Threads.count)")
    }
  }

  @Test func threadCountsApplyToTheJob() async throws {
    #expect(try await Counting().run(threads: 3) { _ in }.text == "3")
    let inherited = try await Threads.withCount(5) { try await Counting().run { _ in }.text }
    #expect(inherited == "5")
  }
}
