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

  /// Bytes of its own.
  package init(_ bytes: [UInt8]) { self.init(ArrayOwner(bytes)) }

  /// The bytes of `floats`, little-endian as every machine that Decant runs on stores them.
  package init(_ floats: [Float]) { self.init(ArrayOwner(floats)) }

  package init(_ codes: [Int8]) { self.init(ArrayOwner(codes)) }

  package init(_ halves: [UInt16]) { self.init(ArrayOwner(halves)) }

  /// `count` bytes of its own that `fill` appends piece by piece, so that each is copied once.
  ///
  /// - Precondition: the pieces have `count` bytes together.
  package init<Failure: Error>(
    gathering count: Int, _ fill: (_ append: ([UInt8]) -> Void) throws(Failure) -> Void
  ) throws(Failure) {
    let owner = ArrayOwner(uninitialized: count)
    let target = UnsafeMutableRawBufferPointer(mutating: owner.buffer)
    var filled = 0
    try fill { piece in
      precondition(piece.count <= count - filled, "more than \(count) bytes are gathered")
      piece.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(rebasing: target[filled...]).copyMemory(from: $0)
      }
      filled += piece.count
    }
    precondition(filled == count, "\(filled) of \(count) bytes are gathered")
    self.init(owner)
  }

  init(_ owner: any ByteOwner, start: Int, count: Int) {
    self.owner = owner
    self.start = start
    self.count = count
  }

  /// The bytes `range` of this slice, counted from its first byte.
  ///
  /// - Precondition: the range lies within the slice.
  package subscript(range: Range<Int>) -> ByteSlice {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= count, "\(range) of a slice of \(count) bytes")
    return ByteSlice(owner, start: start + range.lowerBound, count: range.count)
  }

  /// The mapped file that the slice is of; `nil` when it is of memory, or a window already.
  var mapping: FileMapping? { owner as? FileMapping }

  /// The bytes, in place.
  package var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = RawSpan(
        _unsafeBytes: UnsafeRawBufferPointer(rebasing: owner.buffer[start..<start + count]))
      return _overrideLifetime(span, borrowing: self)
    }
  }

  /// The bytes, copied.
  package var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

  /// The bytes as a pointer, for C. Only ``Tensors`` and `Kernels` may call this.
  package func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeRawBufferPointer(rebasing: owner.buffer[start..<start + count]))
  }

  /// Bytes counted from the owner's first byte to this slice's; tells how a mapped tensor is aligned.
  package var alignmentOffset: Int { start }
}

/// Something that keeps bytes at one address for as long as it lives.
protocol ByteOwner: AnyObject, Sendable {
  var buffer: UnsafeRawBufferPointer { get }
}

/// A copy of an array's elements at a fixed address.
///
/// Unchecked: the buffer is filled by `init` and only read afterwards.
final class ArrayOwner: ByteOwner, @unchecked Sendable {
  let buffer: UnsafeRawBufferPointer

  init<Element: BitwiseCopyable>(_ elements: [Element]) {
    buffer = elements.withUnsafeBytes { source in
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 64)
      copy.copyMemory(from: source)
      return UnsafeRawBufferPointer(copy)
    }
  }

  /// `count` bytes that the caller writes before anybody else sees them.
  init(uninitialized count: Int) {
    buffer = UnsafeRawBufferPointer(
      UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64))
  }

  deinit { buffer.deallocate() }
}
