private import Support
private import Synchronization

/// The values of `body` for `0..<count`, in order, computed on several threads.
func mapConcurrently<Value: Sendable>(
  _ count: Int, _ body: @Sendable (Int) -> Value
) -> [Value] {
  let values = Slots<Value>(count)
  parallel(count) { values.put(body($0), at: $0) }
  return values.all
}

/// An array whose elements several threads set, each once.
private final class Slots<Value: Sendable>: Sendable {
  private let values: Mutex<[Value?]>

  init(_ count: Int) { values = Mutex([Value?](repeating: nil, count: count)) }

  func put(_ value: Value, at index: Int) { values.withLock { $0[index] = value } }

  /// The values in order.
  var all: [Value] { values.withLock { $0.compactMap { $0 } } }
}
