private import Foundation

/// Produces values on several threads and consumes them in order.
///
/// One thread at a time calls `consume`, though not always the same one. No thread waits for its
/// turn: values that are ready early are kept, and the thread that produces the next one due
/// consumes all that are ready. The first error ends the work and is thrown; nothing after it is
/// consumed. In a cancelled task the error is `CancellationError`.
///
/// - Parameter costs: bytes that producing and keeping each value takes. A value is produced ahead
///   of its turn only while all such values together take at most ``maximumBytesAhead``.
package func produceInOrder<Value: Sendable>(
  costs: [Int], produce: @Sendable (Int) throws -> Value,
  consume: (Int, Value) throws -> Void
) throws {
  let queue = OrderedQueue<Value>(costs: costs)
  withoutActuallyEscaping(consume) { consume in
    let consumer = Consumer(consume: consume)
    let threads = Threads.count
    parallel(min(threads, costs.count), threads: threads) { _ in
      while let index = queue.begin() {
        let value = Result {
          try Cancellation.check()
          return try produce(index)
        }
        queue.finish(index, value, consumer.consume)
      }
    }
  }
  if let error = queue.failure { throw error }
}

/// The most bytes that ``produceInOrder(costs:produce:consume:)`` keeps for values that are
/// produced ahead of their turn.
package let maximumBytesAhead = 320 << 20

/// The `consume` closure.
///
/// Unchecked: ``OrderedQueue`` lets only one thread at a time call it.
private struct Consumer<Value>: @unchecked Sendable {
  let consume: (Int, Value) throws -> Void
}

/// The values in production, the values that are ready, and the index of the next one to consume.
///
/// Unchecked: the lock guards all mutable state.
private final class OrderedQueue<Value: Sendable>: @unchecked Sendable {
  private let lock = NSCondition()
  private let costs: [Int]
  private var next = 0
  private var turn = 0
  private var ready: [Int: Result<Value, any Error>] = [:]
  private var isConsuming = false
  /// Bytes of the values between ``begin()`` and their consumption.
  private var held = 0
  private(set) var failure: (any Error)?

  init(costs: [Int]) { self.costs = costs }

  /// The index of the next value to produce, once its cost fits; `nil` at the end or after an
  /// error.
  func begin() -> Int? {
    lock.lock()
    defer { lock.unlock() }
    while failure == nil, next < costs.count, held > 0, held + costs[next] > maximumBytesAhead {
      lock.wait()
    }
    guard failure == nil, next < costs.count else { return nil }
    held += costs[next]
    next += 1
    return next - 1
  }

  /// Keeps a value and, unless another thread does so, consumes all values that are due.
  func finish(
    _ index: Int, _ value: consuming Result<Value, any Error>,
    _ consume: (Int, Value) throws -> Void
  ) {
    lock.lock()
    defer { lock.unlock() }
    ready[index] = value
    if isConsuming { return }
    isConsuming = true
    while failure == nil, let value = ready.removeValue(forKey: turn) {
      lock.unlock()
      let error = error(consuming: turn, value, consume)
      lock.lock()
      failure = error
      held -= costs[turn]
      turn += 1
      lock.broadcast()
    }
    isConsuming = false
  }

  /// Consumes a value and releases its memory before other values may be begun.
  ///
  /// - Returns: the error that `consume` throws, or `nil`.
  private func error(
    consuming index: Int, _ value: consuming Result<Value, any Error>,
    _ consume: (Int, Value) throws -> Void
  ) -> (any Error)? {
    do {
      try consume(index, value.get())
      return nil
    } catch {
      return error
    }
  }
}
