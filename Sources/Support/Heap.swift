private import CMalloc
private import Foundation

/// Keeps freed memory for what comes next, from now on: activations come and go by the megabyte, and
/// fresh pages would cost as much as computing them.
package func keepHeap() {
  // Together these end the allocator's own adjustment, which gives much back in between.
  mallopt(M_MMAP_THRESHOLD, 32 << 20)
  mallopt(M_TRIM_THRESHOLD, 1 << 30)
}

/// Gives freed memory back to the system: between two works of other sizes.
package func trimHeap() { malloc_trim(0) }

/// Runs `body` with blocks above a mebibyte given back to the system as soon as they are freed.
///
/// glibc's allocator raises, whenever a large block is freed, the size up to which blocks come from
/// its heap, and a heap that tensors of many sizes pass through stays as large as its worst moment.
/// A conversion holds a few tensors at a time, and this keeps its memory at that. It costs fresh
/// pages for each block, which computing would feel, so it ends with `body`.
package func withHeapKeptSmall<Result>(_ body: () throws -> Result) rethrows -> Result {
  mallopt(M_MMAP_THRESHOLD, 1 << 20)
  // Where the allocator's own adjustment ends.
  defer { mallopt(M_MMAP_THRESHOLD, 32 << 20) }
  return try body()
}

/// Asks the system for pages of 2 MB for memory that will be filled: five hundred times fewer are
/// needed.
package func askForLargePages(_ memory: UnsafeMutableRawBufferPointer) {
  let page = 2 << 20
  guard memory.count >= 2 * page, let base = memory.baseAddress else { return }
  let start = (UInt(bitPattern: base) + UInt(page) - 1) / UInt(page) * UInt(page)
  let end = (UInt(bitPattern: base) + UInt(memory.count)) / UInt(page) * UInt(page)
  guard let first = UnsafeMutableRawPointer(bitPattern: start), end > start else { return }
  madvise(first, Int(end - start), MADV_HUGEPAGE)
}
