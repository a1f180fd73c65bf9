private import CKernels

extension StoredTensor {
  /// The same numbers stored as a plain floating-point `kind`, rounded to nearest even.
  ///
  /// A run of rows is widened at a time, so beside the tensor and the result little memory is
  /// taken, whatever their size. A number beyond the range of float16 becomes infinite: callers
  /// look with ``hasNonfinite``.
  ///
  /// - Precondition: `kind` is `f32`, `f16` or `bf16`, and the encoding can be widened.
  package func converted(to kind: ElementKind) -> StoredTensor {
    precondition(
      kind == .f32 || kind == .f16 || kind == .bf16,
      "numbers are converted to f32, f16 or bf16, not to \(kind.rawValue)")
    if encoding == .plain(kind) { return self }
    let width = kind.bitWidth / 8
    let length = shape.rowLength
    let bytes = ByteSlice(count: shape.count * width) { target in
      guard let base = target.baseAddress else { return }
      forEachRun { rows, floats in
        guard let source = floats.baseAddress else { return }
        let place = base + rows.lowerBound * length * width
        switch kind {
        case .f16:
          decant_f32_to_f16(source, place.assumingMemoryBound(to: UInt16.self), floats.count)
        case .bf16:
          decant_f32_to_bf16(source, place.assumingMemoryBound(to: UInt16.self), floats.count)
        default: place.copyMemory(from: source, byteCount: floats.count * width)
        }
      }
    }
    return StoredTensor(shape: shape, encoding: .plain(kind), parts: [bytes])
  }

  /// Calls `body` with the numbers of one run of rows after another, each run small enough to stay
  /// near the processor (or one row).
  private func forEachRun(_ body: (Range<Int>, UnsafeBufferPointer<Float>) -> Void) {
    let length = shape.rowLength
    guard shape.count > 0 else { return }
    let step = min(shape.rows, max(1, (1 << 16) / length))
    withUnsafeTemporaryAllocation(of: Float.self, capacity: step * length) { buffer in
      var row = 0
      while row < shape.rows {
        let rows = row..<min(row + step, shape.rows)
        widen(rows: rows, into: buffer)
        body(rows, UnsafeBufferPointer(rebasing: buffer[..<(rows.count * length)]))
        row = rows.upperBound
      }
    }
  }

  /// Calls `body` with the numbers of this tensor and of another one of the same shape, a run of
  /// rows at a time, in order.
  package func forEachRun(
    beside other: StoredTensor, _ body: (Span<Float>, Span<Float>) -> Void
  ) {
    precondition(shape == other.shape, "\(shape) beside \(other.shape)")
    forEachRun { rows, floats in
      let widened = [Float](unsafeUninitializedCapacity: floats.count) {
        other.widen(rows: rows, into: $0)
        $1 = floats.count
      }
      body(Span(_unsafeElements: floats), widened.span)
    }
  }
}

extension ByteSlice {
  /// Memory of its own that `fill` writes, every byte of it.
  init(count: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) {
    self.init(FilledOwner(count: count, fill: fill))
  }
}

/// Bytes at a fixed address, written once.
///
/// Unchecked: the buffer is filled by `init` and only read afterwards.
private final class FilledOwner: ByteOwner, @unchecked Sendable {
  let buffer: UnsafeRawBufferPointer

  init(count: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    fill(bytes)
    buffer = UnsafeRawBufferPointer(bytes)
  }

  deinit { buffer.deallocate() }
}
