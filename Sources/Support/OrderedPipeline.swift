private import Foundation

/// Gives `take` what `make` makes of each of so many, in order, while other threads make the next
/// ones.
///
/// `take` is called by one thread at a time, though not always the same. No thread waits for its
/// turn: what is made early is kept, and whoever makes what is due takes all that is ready. What is
/// thrown is what the first of them that fails throws, and nothing after it is taken; a cancelled
/// task throws `CancellationError`.
///
/// - Parameter costs: bytes that making and keeping each takes. Others are begun ahead only while
///   all together take at most ``costAhead``.
package func inOrder<Value: Sendable>(
  costs: [Int], make: @Sendable (Int) throws -> Value,
  take: (Int, Value) throws -> Void
) throws {
  let queue = OrderedQueue<Value>(costs: costs)
  withUnsafeCurrentTask { task in
    withoutActuallyEscaping(take) { take in
      let taker = Taker(task: task, take: take)
      parallel(min(Threads.count, costs.count)) { _ in
        while let index = queue.begin() {
          let value = Result {
            if taker.isCancelled { throw CancellationError() }
            return try make(index)
          }
          queue.finish(index, value, taker.take)
        }
      }
    }
  }
  if let error = queue.failure { throw error }
}

/// The most bytes that ``inOrder(costs:make:take:)`` takes for what it makes ahead.
package let costAhead = 320 << 20

/// What takes values, and the task that it belongs to.
///
/// Unchecked: ``OrderedQueue`` lets one thread after another call `take`, and a task may be asked
/// from any thread whether it is cancelled.
private struct Taker<Value>: @unchecked Sendable {
  let task: UnsafeCurrentTask?
  let take: (Int, Value) throws -> Void

  var isCancelled: Bool { task?.isCancelled ?? false }
}

/// Who makes what, what is made, and whose turn it is.
///
/// Unchecked: everything that changes is changed under the lock.
private final class OrderedQueue<Value: Sendable>: @unchecked Sendable {
  private let lock = NSCondition()
  private let costs: [Int]
  private var next = 0
  private var turn = 0
  private var ready: [Int: Result<Value, any Error>] = [:]
  private var isTaking = false
  /// Bytes that values take from ``begin()`` until they are taken.
  private var held = 0
  private(set) var failure: (any Error)?

  init(costs: [Int]) { self.costs = costs }

  /// The next one to make, once there is room for it; `nil` when there is none.
  func begin() -> Int? {
    lock.lock()
    defer { lock.unlock() }
    while failure == nil, next < costs.count, held > 0, held + costs[next] > costAhead {
      lock.wait()
    }
    guard failure == nil, next < costs.count else { return nil }
    held += costs[next]
    next += 1
    return next - 1
  }

  /// Keeps what was made and takes, unless another thread does, all that is due.
  func finish(
    _ index: Int, _ value: consuming Result<Value, any Error>,
    _ take: (Int, Value) throws -> Void
  ) {
    lock.lock()
    defer { lock.unlock() }
    ready[index] = value
    if isTaking { return }
    isTaking = true
    while failure == nil, let value = ready.removeValue(forKey: turn) {
      lock.unlock()
      let error = whatFails(turn, value, take)
      lock.lock()
      failure = error
      held -= costs[turn]
      turn += 1
      lock.broadcast()
    }
    isTaking = false
  }

  /// Takes a value and lets go of it: what it takes is free before others may be begun.
  private func whatFails(
    _ index: Int, _ value: consuming Result<Value, any Error>,
    _ take: (Int, Value) throws -> Void
  ) -> (any Error)? {
    do {
      try take(index, value.get())
      return nil
    } catch {
      return error
    }
  }
}
