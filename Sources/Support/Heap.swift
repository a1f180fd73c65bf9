private import CLinux
private import Foundation

/// Makes the allocator keep freed memory for reuse, for the rest of the process. Activations are
/// allocated and freed by the megabyte, and fresh pages from the system would cost as much time as
/// computing the activations.
package func keepHeap() {
  // Setting both values disables glibc's dynamic thresholds, which return much memory to the
  // system.
  mallopt(M_MMAP_THRESHOLD, 32 << 20)
  mallopt(M_TRIM_THRESHOLD, 1 << 30)
}

/// Returns freed memory to the system, for use between two phases that allocate other sizes.
package func trimHeap() { malloc_trim(0) }

/// Runs `body` while every block above 1 MiB returns to the system as soon as it is freed.
///
/// glibc raises the size up to which it allocates from its heap whenever a large block is freed,
/// and a heap that served tensors of many sizes stays at its peak size. A conversion holds a few
/// tensors at a time, and this setting keeps its memory at that size. Each block then needs fresh
/// pages, which would slow down computing, so the setting ends with `body`.
package func withHeapKeptSmall<Result>(_ body: () throws -> Result) rethrows -> Result {
  mallopt(M_MMAP_THRESHOLD, 1 << 20)
  // The maximum of glibc's dynamic threshold.
  defer { mallopt(M_MMAP_THRESHOLD, 32 << 20) }
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
