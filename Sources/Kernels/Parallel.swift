private import CKernels
internal import Support
private import Synchronization
internal import Tensors

/// ``parallel(_:_:)`` with uninitialized scratch memory for each thread, which the thread's
/// units use one after another.
///
/// - Parameter scratch: the floats for each thread.
func parallel(
  _ count: Int, scratch: Int, _ body: @Sendable (Int, UnsafeMutablePointer<Float>) -> Void
) {
  parallel(count, scratch: scratch, interruption: nil, body)
}

/// ``parallel(_:_:)``, but inside ``interruptible(_:)`` the units that have not begun when the task
/// is cancelled are skipped.
func interruptibleParallel(_ count: Int, _ body: @Sendable (Int) -> Void) {
  Interruption.withCurrent { interruption in
    guard let interruption else { return parallel(count, body) }
    parallel(count) { unit in
      if interruption.admitsUnit { body(unit) }
    }
  }
}

/// ``interruptibleParallel(_:_:)`` with scratch memory for each thread, as
/// ``parallel(_:scratch:_:)`` has.
func interruptibleParallel(
  _ count: Int, scratch: Int, _ body: @Sendable (Int, UnsafeMutablePointer<Float>) -> Void
) {
  Interruption.withCurrent { interruption in
    parallel(count, scratch: scratch, interruption: interruption, body)
  }
}

private func parallel(
  _ count: Int, scratch: Int, interruption: Interruption?,
  _ body: @Sendable (Int, UnsafeMutablePointer<Float>) -> Void
) {
  let next = Atomic<Int>(0)
  let threads = Threads.count
  parallel(min(threads, count), threads: threads) { _ in
    let memory = Scratch.floats(scratch)
    defer { Scratch.release(memory) }
    while true {
      let unit = next.wrappingAdd(1, ordering: .relaxed).oldValue
      if unit >= count { return }
      if interruption?.admitsUnit != false { body(unit, memory.base) }
    }
  }
}

/// The numbers of a block of element-wise work: 128 KB, far more work than the overhead of a unit.
let blockSize = 1 << 15

/// Calls `body` for blocks of `0..<count`, as ``interruptibleParallel(_:_:)`` does. Each has `size`
/// elements, except for the last.
func parallelBlocks(
  _ count: Int, size: Int = blockSize, _ body: @Sendable (Range<Int>) -> Void
) {
  interruptibleParallel((count + size - 1) / size) { block in
    body(block * size..<min(count, (block + 1) * size))
  }
}

/// The number of `area` pixels that a unit processes where it reads all channels of each pixel.
/// Wider runs read more adjacent bytes of each plane; narrower runs make enough units for all
/// threads.
func columnRun(of area: Int) -> Int { max(64, min(Int(DECANT_COLUMN_RUN), area / 128 * 16)) }

/// A pointer to numbers that several threads read.
///
/// Unchecked: the creator keeps the memory alive and unchanged until `parallel` returns.
struct Source: @unchecked Sendable {
  let base: UnsafePointer<Float>

  static func + (source: Source, offset: Int) -> UnsafePointer<Float> { source.base + offset }
}

/// A pointer to numbers that several threads write.
///
/// Unchecked: units of `parallel` write disjoint ranges, which are not read until it returns.
struct Target: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>

  static func + (target: Target, offset: Int) -> UnsafeMutablePointer<Float> {
    target.base + offset
  }
}

extension [Float] {
  /// Calls `body` with a pointer to the numbers. The pointer of an empty array must not be read.
  func reading<Result>(_ body: (Source) -> Result) -> Result {
    withUnsafeBufferPointer { buffer in
      body(Source(base: buffer.baseAddress ?? UnsafePointer(bitPattern: 64)!))
    }
  }

  /// Calls `body` with a mutable pointer to the numbers.
  mutating func writing<Result>(_ body: (Target) -> Result) -> Result {
    withUnsafeMutableBufferPointer { buffer in
      body(Target(base: buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 64)!))
    }
  }
}

extension Tensor {
  /// Creates a tensor of uninitialized memory. `body` must write every number, except when it is
  /// interrupted (``interruptible(_:)``).
  init(shape: Shape, writing body: (Target) -> Void) {
    let values = [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
      adviseLargePages(UnsafeMutableRawBufferPointer(buffer))
      body(Target(base: buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 64)!))
      count = shape.count
    }
    self.init(shape: shape, values: values)
  }
}

/// A buffer of which several threads fill disjoint parts.
///
/// Unchecked: threads use ranges that do not overlap.
struct DisjointSlices<Element>: @unchecked Sendable {
  private let buffer: UnsafeMutableBufferPointer<Element>

  /// A pointer to the first element. The pointer of an empty buffer must not be read.
  var base: UnsafeMutablePointer<Element> {
    buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 64)!
  }

  init(_ buffer: UnsafeMutableBufferPointer<Element>) { self.buffer = buffer }

  subscript(index: Int) -> Element {
    get { buffer[index] }
    nonmutating set { buffer[index] = newValue }
  }

  subscript(range: Range<Int>) -> UnsafeMutableBufferPointer<Element> {
    UnsafeMutableBufferPointer(rebasing: buffer[range])
  }
}
