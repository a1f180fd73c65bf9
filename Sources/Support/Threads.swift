private import Dispatch
private import Foundation
private import Synchronization

/// The number of threads for all parallel work: layers, checksums, codes.
package enum Threads {
  private static let limit = Atomic<Int>(ProcessInfo.processInfo.activeProcessorCount)

  /// The maximum number of threads that one call of ``parallel(_:threads:_:)`` uses, process-wide.
  ///
  /// The initial value is the number of active processors. No result depends on it.
  ///
  /// - Precondition: at least 1.
  package static var count: Int {
    get { limit.load(ordering: .relaxed) }
    set {
      precondition(newValue >= 1, "\(newValue) threads")
      limit.store(newValue, ordering: .relaxed)
    }
  }
}

/// Calls `body` once for each index in `0..<count`, on at most ``Threads/count`` threads, and
/// returns when all calls have returned. No other function of Decant starts threads.
///
/// The caller divides its work by the shapes alone, never by the number of threads, and no unit
/// reads what another unit writes. Results are therefore bit-identical for any number of threads.
///
/// - Parameter threads: the number of threads for this call, instead of ``Threads/count``.
package func parallel(_ count: Int, threads: Int? = nil, _ body: @Sendable (Int) -> Void) {
  let workers = min(threads ?? Threads.count, count)
  if workers <= 1 {
    for unit in 0..<max(0, count) { body(unit) }
    return
  }
  let next = Atomic<Int>(0)
  DispatchQueue.concurrentPerform(iterations: workers) { _ in
    while true {
      let unit = next.wrappingAdd(1, ordering: .relaxed).oldValue
      if unit >= count { return }
      body(unit)
    }
  }
}
