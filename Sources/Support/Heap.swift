private import CLinux
private import Foundation
private import Synchronization

/// The number of running calls of ``withHeapKeptSmall(_:)``. glibc has one threshold for the whole
/// process, so the first call lowers it and the last one to end raises it again.
private let smallHeapUsers = Mutex(0)

/// The maximum of glibc's dynamic threshold.
private let largestThreshold: CInt = 32 << 20

/// Makes the allocator keep freed memory for reuse, for the rest of the process. Activations are
/// allocated and freed by the megabyte, and fresh pages from the system would cost as much time as
/// computing the activations.
///
/// While ``withHeapKeptSmall(_:)`` runs on any thread, its lower threshold stays.
package func keepHeap() {
  // Setting both values disables glibc's dynamic thresholds, which return much memory to the
  // system.
  smallHeapUsers.withLock { users in
    if users == 0 { mallopt(M_MMAP_THRESHOLD, largestThreshold) }
    mallopt(M_TRIM_THRESHOLD, 1 << 30)
  }
}

/// Returns freed memory to the system, for use between two phases that allocate other sizes.
package func trimHeap() { malloc_trim(0) }

/// Runs `body` while every block above 1 MiB returns to the system as soon as it is freed.
///
/// glibc raises the size up to which it allocates from its heap whenever a large block is freed,
/// and a heap that served tensors of many sizes stays at its peak size. A conversion holds a few
/// tensors at a time, and this setting keeps its memory at that size. Each block then needs fresh
/// pages, which would slow down computing, so the setting ends with `body`. The setting is that of
/// the process: a model that another thread computes meanwhile is slower.
package func withHeapKeptSmall<Result>(_ body: () throws -> Result) rethrows -> Result {
  smallHeapUsers.withLock { users in
    if users == 0 { mallopt(M_MMAP_THRESHOLD, 1 << 20) }
    users += 1
  }
  defer {
    smallHeapUsers.withLock { users in
      users -= 1
      if users == 0 { mallopt(M_MMAP_THRESHOLD, largestThreshold) }
    }
  }
  return try body()
}

/// Advises the system to use pages of 2 MB instead of 4 kB for memory that will be filled.
package func adviseLargePages(_ memory: UnsafeMutableRawBufferPointer) {
  let page = 2 << 20
  guard memory.count >= 2 * page, let base = memory.baseAddress else { return }
  let start = (UInt(bitPattern: base) + UInt(page) - 1) / UInt(page) * UInt(page)
  let end = (UInt(bitPattern: base) + UInt(memory.count)) / UInt(page) * UInt(page)
  guard let first = UnsafeMutableRawPointer(bitPattern: start), end > start else { return }
  madvise(first, Int(end - start), MADV_HUGEPAGE)
}
