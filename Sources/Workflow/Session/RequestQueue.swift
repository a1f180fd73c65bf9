private import Support
private import Synchronization

/// Runs the requests of a session one at a time, in the order in which they arrive.
///
/// A request that waits occupies no thread. If its task is cancelled, it leaves the queue at once.
final class RequestQueue: Sendable {
  private struct State {
    var isRunning = false
    var arrivals = 0
    /// The requests that wait, in the order of arrival.
    var waiting: [(arrival: Int, turn: CheckedContinuation<Void, any Error>)] = []
  }

  private let state = Mutex(State())

  /// Waits for the requests before this one, then runs it.
  ///
  /// - Throws: `CancellationError` if the task is cancelled before `body` runs, or the error of
  ///   `body`.
  func run<Output: Sendable>(_ body: () async throws -> Output) async throws -> Output {
    try await waitForTurn()
    defer { endTurn() }
    try Cancellation.check()
    return try await body()
  }

  private func waitForTurn() async throws {
    let arrival = state.withLock { state in
      state.arrivals += 1
      return state.arrivals
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { turn in
        let immediate = state.withLock { state -> Result<Void, any Error>? in
          // Read under the lock: a later cancellation finds the request among those that wait.
          if Cancellation.isRequested { return .failure(CancellationError()) }
          if state.isRunning {
            state.waiting.append((arrival, turn))
            return nil
          }
          state.isRunning = true
          return .success(())
        }
        if let immediate { turn.resume(with: immediate) }
      }
    } onCancel: {
      let turn = state.withLock { state in
        state.waiting.firstIndex { $0.arrival == arrival }.map { state.waiting.remove(at: $0).turn }
      }
      turn?.resume(throwing: CancellationError())
    }
  }

  /// Lets the next request run.
  private func endTurn() {
    let next = state.withLock { state in
      if state.waiting.isEmpty {
        state.isRunning = false
        return nil as CheckedContinuation<Void, any Error>?
      }
      return state.waiting.removeFirst().turn
    }
    next?.resume()
  }
}
