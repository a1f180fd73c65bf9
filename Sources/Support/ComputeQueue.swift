private import Dispatch

/// A task executor with a thread of its own, for long computations.
///
/// Computations would otherwise occupy the threads of Swift's cooperative pool, which has one for
/// each processor, and delay every other task. A queue runs one piece of work at a time; separate
/// queues run at the same time.
package final class ComputeQueue: TaskExecutor {
  /// A serial queue gets a thread even while all threads of the shared queues compute.
  private let queue = DispatchQueue(label: "decant.compute")
  private let threads: Int?

  /// - Parameter threads: ``Threads/count`` of the work on this queue, at least 1; `nil` is that of
  ///   its task.
  package init(threads: Int? = nil) { self.threads = threads }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }

  /// Runs `body`, and the nonisolated functions that it calls, on this queue's thread.
  package func run<Result: Sendable>(
    _ body: @Sendable () async throws -> Result
  ) async throws -> Result {
    try await withTaskExecutorPreference(self) {
      guard let threads else { return try await body() }
      return try await Threads.withCount(threads) { try await body() }
    }
  }
}
