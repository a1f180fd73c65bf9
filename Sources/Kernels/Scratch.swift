private import Support
private import Synchronization

/// A pool of temporary memory for kernels. Fresh pages from the system would cost more time than
/// the work on them.
///
/// All sessions of a process share the pool. It has no settings, a lock guards it, and its
/// uninitialized memory carries nothing from one kernel to another. The sizes of blocks are powers
/// of two. Blocks of at most 256 MB are kept until the process ends; of each size, as many as were
/// in use at the same time. A thread uses at most one block at a time, below 32 MB, and a kernel a
/// second one.
enum Scratch {
  /// Uninitialized floats, aligned to a cache line.
  ///
  /// Unchecked: units of `parallel` write disjoint parts of a block, and it is released once.
  struct Block: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>
    fileprivate let exponent: Int
  }

  /// The exponent of the largest blocks that are kept: 2^26 floats.
  private static let largestKept = 26

  private static let free = Mutex<[[Block]]>(Array(repeating: [], count: largestKept + 1))

  /// A block of at least `count` floats, which the caller must release.
  static func floats(_ count: Int) -> Block {
    let exponent = max(10, Int.bitWidth - (max(1, count) - 1).leadingZeroBitCount)
    if exponent <= largestKept, let block = free.withLock({ $0[exponent].popLast() }) {
      return block
    }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4 << exponent, alignment: 64)
    adviseLargePages(UnsafeMutableRawBufferPointer(start: memory, count: 4 << exponent))
    return Block(
      base: memory.bindMemory(to: Float.self, capacity: 1 << exponent), exponent: exponent)
  }

  static func release(_ block: Block) {
    if block.exponent <= largestKept {
      free.withLock { $0[block.exponent].append(block) }
    } else {
      UnsafeMutableRawPointer(block.base).deallocate()
    }
  }
}
