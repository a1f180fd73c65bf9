private import Synchronization

/// Places that several threads fill, each once.
final class Slots<Value: Sendable>: Sendable {
  private let values: Mutex<[Value?]>

  init(_ count: Int) { values = Mutex([Value?](repeating: nil, count: count)) }

  func put(_ value: Value, at index: Int) { values.withLock { $0[index] = value } }

  /// The values in the order of their places.
  var all: [Value] { values.withLock { $0.compactMap { $0 } } }
}
