private import CKernels
internal import Support
private import Synchronization
internal import Tensors

/// `parallel` with memory for each worker, uninitialized, that its units use one after
/// another.
///
/// - Parameter scratch: floats for each worker.
func parallel(
  _ count: Int, scratch: Int, _ body: @Sendable (Int, UnsafeMutablePointer<Float>) -> Void
) {
  let next = Atomic<Int>(0)
  parallel(min(Threads.count, count)) { _ in
    let memory = Scratch.floats(scratch)
    defer { Scratch.give(memory) }
    while true {
      let unit = next.wrappingAdd(1, ordering: .relaxed).oldValue
      if unit >= count { return }
      body(unit, memory.base)
    }
  }
}

/// Numbers that make a block of simple work: 128 KB, far more work than it takes to share it out.
let blockSize = 1 << 15

/// Runs `body` for blocks of `0..<count`, of `size` each but the last.
func parallelBlocks(
  _ count: Int, size: Int = blockSize, _ body: @Sendable (Range<Int>) -> Void
) {
  parallel((count + size - 1) / size) { block in
    body(block * size..<min(count, (block + 1) * size))
  }
}

/// How many of `area` pixels a unit takes, where it reads all channels of each. Wider runs read more
/// of each plane at once, and the next plane lies a picture away; narrower ones leave enough units to
/// share out.
func columnRun(of area: Int) -> Int { max(64, min(Int(DECANT_COLUMN_RUN), area / 128 * 16)) }

/// Numbers that several threads read while nobody writes them.
///
/// Unchecked: whoever makes one keeps the memory alive and unchanged until `parallel` returns.
struct Source: @unchecked Sendable {
  let base: UnsafePointer<Float>

  static func + (source: Source, offset: Int) -> UnsafePointer<Float> { source.base + offset }
}

/// Numbers that several threads write, each its own part.
///
/// Unchecked: units of `parallel` write disjoint ranges, and nobody reads before it returns.
struct Target: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>

  static func + (target: Target, offset: Int) -> UnsafeMutablePointer<Float> {
    target.base + offset
  }
}

extension [Float] {
  /// The numbers in place. An empty array gives a pointer that nobody may read.
  func reading<Result>(_ body: (Source) -> Result) -> Result {
    withUnsafeBufferPointer { buffer in
      body(Source(base: buffer.baseAddress ?? UnsafePointer(bitPattern: 64)!))
    }
  }

  /// The numbers in place, to be changed.
  mutating func writing<Result>(_ body: (Target) -> Result) -> Result {
    withUnsafeMutableBufferPointer { buffer in
      body(Target(base: buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 64)!))
    }
  }
}

extension Tensor {
  /// A tensor whose every number `body` writes; nothing is filled before.
  init(shape: Shape, writing body: (Target) -> Void) {
    let values = [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
      adviseLargePages(UnsafeMutableRawBufferPointer(buffer))
      body(Target(base: buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 64)!))
      count = shape.count
    }
    self.init(shape: shape, values: values)
  }
}

/// Parts of one buffer that several threads fill.
///
/// Unchecked: whoever uses it takes ranges that do not overlap.
struct DisjointSlices<Element>: @unchecked Sendable {
  private let buffer: UnsafeMutableBufferPointer<Element>

  /// The start. An empty buffer gives a pointer that nobody may read.
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
