private import Support
private import Synchronization

/// A pool of temporary memory for kernels. Fresh pages from the system would cost more time than
/// the work on them.
///
/// The sizes of blocks are powers of two. Blocks are kept until the process ends; their total size
/// is the maximum that was in use at the same time.
enum Scratch {
  /// Uninitialized floats, aligned to a cache line.
  ///
  /// Unchecked: units of `parallel` write disjoint parts of a block, and it is released once.
  struct Block: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>
    fileprivate let exponent: Int
  }

  private static let free = Mutex<[[Block]]>(Array(repeating: [], count: 64))

  static func floats(_ count: Int) -> Block {
    let exponent = max(10, Int.bitWidth - (max(1, count) - 1).leadingZeroBitCount)
    if let block = free.withLock({ $0[exponent].popLast() }) { return block }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4 << exponent, alignment: 64)
    adviseLargePages(UnsafeMutableRawBufferPointer(start: memory, count: 4 << exponent))
    return Block(
      base: memory.bindMemory(to: Float.self, capacity: 1 << exponent), exponent: exponent)
  }

  static func release(_ block: Block) { free.withLock { $0[block.exponent].append(block) } }
}
