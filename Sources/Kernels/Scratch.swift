private import Support
private import Synchronization

/// Memory that kernels need for a moment, kept for the next one: fresh pages would cost more than
/// the work they hold.
///
/// Blocks are sized in powers of two and kept until the process ends; their sum is what the largest
/// kernel used at once.
enum Scratch {
  /// Uninitialized floats, aligned to a cache line.
  ///
  /// Unchecked: whoever takes a block shares it only as `parallel` allows, and gives it back once.
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

  static func give(_ block: Block) { free.withLock { $0[block.exponent].append(block) } }
}
