private import Dispatch
private import Foundation
private import Synchronization

/// How many threads compute, whatever they compute: layers, checksums, codes.
package enum Threads {
  private static let limit = Atomic<Int>(ProcessInfo.processInfo.activeProcessorCount)

  /// Threads that ``parallel(_:threads:_:)`` may use at a time, for the whole process. It starts as the
  /// number of active processors; no result depends on it.
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

/// Runs `body` once for each of `0..<count`, on at most ``Threads/count`` threads, and returns when
/// all are done. The one place where Decant starts threads.
///
/// The caller cuts its work into units by the shapes alone, never by the number of threads, and no
/// unit reads what another one writes: so results are the same, bit for bit, whatever that number.
///
/// - Parameter threads: a number of threads for this call alone.
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
