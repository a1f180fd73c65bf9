private import Dispatch
private import Foundation
private import Synchronization

/// The number of threads for all parallel work: layers, checksums, codes.
package enum Threads {
  @TaskLocal private static var limit = ProcessInfo.processInfo.activeProcessorCount

  /// The maximum number of threads that one call of ``parallel(_:_:)`` in this task uses.
  ///
  /// Without ``withCount(_:_:)`` it is the number of active processors. No result depends on it.
  package static var count: Int { limit }

  /// Runs `body` with ``count`` set to `count` in this task and its child tasks.
  ///
  /// - Precondition: `count` is at least 1.
  package static func withCount<Result>(
    _ count: Int, _ body: () throws -> Result
  ) rethrows -> Result {
    precondition(count >= 1, "\(count) threads")
    return try $limit.withValue(count, operation: body)
  }

  /// Runs asynchronous `body` with ``count`` set to `count` in this task and its child tasks.
  ///
  /// - Precondition: `count` is at least 1.
  package static func withCount<Result>(
    _ count: Int, isolation: isolated (any Actor)? = #isolation,
    _ body: () async throws -> Result
  ) async rethrows -> Result {
    precondition(count >= 1, "\(count) threads")
    return try await $limit.withValue(count, operation: body, isolation: isolation)
  }
}

/// Calls `body` once for each index in `0..<count`, on at most ``Threads/count`` threads, and
/// returns when all calls have returned. No other function of Decant computes on several threads.
/// Calls of `parallel` inside `body` have the same ``Threads/count``, and ``Cancellation`` of the
/// caller's task applies to them.
///
/// The caller divides its work by the shapes alone, never by the number of threads, and no unit
/// reads what another unit writes. Results are therefore bit-identical for any number of threads.
package func parallel(_ count: Int, _ body: @Sendable (Int) -> Void) {
  parallel(count, threads: Threads.count, body)
}

/// ``parallel(_:_:)`` where the caller has read ``Threads/count`` already, which takes longer than
/// reading a variable.
package func parallel(_ count: Int, threads: Int, _ body: @Sendable (Int) -> Void) {
  let workers = min(threads, count)
  if workers <= 1 {
    for unit in 0..<max(0, count) { body(unit) }
    return
  }
  let next = Atomic<Int>(0)
  Cancellation.withOwner { owner in
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
      // Threads of the dispatch pool belong to no task and inherit no task-local values.
      Threads.withCount(threads) {
        Cancellation.inheriting(owner) {
          while true {
            let unit = next.wrappingAdd(1, ordering: .relaxed).oldValue
            if unit >= count { return }
            body(unit)
          }
        }
      }
    }
  }
}
