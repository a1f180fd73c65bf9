/// A range of bytes of a mapped file or of memory, kept alive by its owner.
///
/// Slices are plain values: copying one copies no bytes, and a slice of a slice shares the owner.
package struct ByteSlice: Sendable {
  private let owner: any ByteOwner
  private let start: Int
  package let count: Int

  /// All bytes of `owner`.
  init(_ owner: any ByteOwner) {
    self.owner = owner
    start = 0
    count = owner.buffer.count
  }

  /// A copy of `bytes`.
  package init(_ bytes: [UInt8]) { self.init(MemoryOwner(bytes)) }

  /// A copy of the bytes of `floats`, in the machine's byte order, which is little-endian.
  package init(_ floats: [Float]) { self.init(MemoryOwner(floats)) }

  package init(_ codes: [Int8]) { self.init(MemoryOwner(codes)) }

  package init(_ halves: [UInt16]) { self.init(MemoryOwner(halves)) }

  package init(_ words: [UInt64]) { self.init(MemoryOwner(words)) }

  /// Newly allocated memory of `count` bytes. `fill` must write every byte.
  package init<Failure: Error>(
    count: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    self.init(try MemoryOwner(count: count, fill: fill))
  }

  /// Newly allocated memory of `count` bytes. `fill` appends them piece by piece, so that each byte
  /// is copied once.
  ///
  /// - Precondition: the pieces have `count` bytes together.
  package init<Failure: Error>(
    gathering count: Int, _ fill: (_ append: ([UInt8]) -> Void) throws(Failure) -> Void
  ) throws(Failure) {
    try self.init(count: count) { (target) throws(Failure) in
      var filled = 0
      try fill { piece in
        precondition(piece.count <= count - filled, "more than \(count) bytes appended")
        piece.withUnsafeBytes {
          UnsafeMutableRawBufferPointer(rebasing: target[filled...]).copyMemory(from: $0)
        }
        filled += piece.count
      }
      precondition(filled == count, "\(filled) of \(count) bytes appended")
    }
  }

  init(_ owner: any ByteOwner, start: Int, count: Int) {
    self.owner = owner
    self.start = start
    self.count = count
  }

  /// The bytes in `range`, counted from this slice's first byte.
  ///
  /// - Precondition: the range is within the slice.
  package subscript(range: Range<Int>) -> ByteSlice {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= count, "\(range) of a slice of \(count) bytes")
    return ByteSlice(owner, start: start + range.lowerBound, count: range.count)
  }

  /// The mapped file that owns the bytes; `nil` for memory and for a ``window(_:)``.
  var mapping: FileMapping? { owner as? FileMapping }

  /// The bytes, without a copy.
  package var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = RawSpan(
        _unsafeBytes: UnsafeRawBufferPointer(rebasing: owner.buffer[start..<start + count]))
      return _overrideLifetime(span, borrowing: self)
    }
  }

  /// A copy of the bytes.
  package var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

  /// The bytes as little-endian words.
  ///
  /// - Precondition: the number of bytes is a multiple of 8.
  package var words: [UInt64] {
    precondition(count % 8 == 0, "\(count) bytes as words of 8")
    return withUnsafeBytes { raw in
      (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    }
  }

  /// Calls `body` with a pointer to the bytes, for C functions. Only modules that own raw memory
  /// (`Support`, `Tensors`, `Kernels`) may call this.
  package func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeRawBufferPointer(rebasing: owner.buffer[start..<start + count]))
  }

  /// The offset of this slice's first byte from the owner's first byte. It determines how a mapped
  /// tensor is aligned.
  package var alignmentOffset: Int { start }
}

/// An object that keeps bytes at a fixed address during its lifetime.
protocol ByteOwner: AnyObject, Sendable {
  var buffer: UnsafeRawBufferPointer { get }
}

/// Allocated memory, aligned to 64 bytes.
///
/// Unchecked: `init` fills the buffer, and later accesses only read it.
private final class MemoryOwner: ByteOwner, @unchecked Sendable {
  let buffer: UnsafeRawBufferPointer

  /// Allocates `count` bytes. `fill` must write every byte.
  init<Failure: Error>(
    count: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    adviseLargePages(bytes)
    do {
      try fill(bytes)
    } catch {
      bytes.deallocate()
      throw error
    }
    buffer = UnsafeRawBufferPointer(bytes)
  }

  /// A copy of an array's elements.
  convenience init<Element: BitwiseCopyable>(_ elements: [Element]) {
    self.init(count: elements.count * MemoryLayout<Element>.stride) { target in
      elements.withUnsafeBytes { target.copyMemory(from: $0) }
    }
  }

  deinit { buffer.deallocate() }
}

extension ByteSlice {
  /// The bytes of a text without the UTF-8 byte order mark with which some editors begin files.
  package var withoutByteOrderMark: ByteSlice {
    let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    guard count >= mark.count, self[0..<mark.count].array == mark else { return self }
    return self[mark.count..<count]
  }
}
