private import CKernels
internal import Support

extension StoredTensor {
  /// Creates a plain tensor of a floating-point `kind` from float32 numbers, rounded to nearest
  /// even.
  ///
  /// - Precondition: `kind` is `f32`, `f16` or `bf16`.
  package init(shape: Shape, floats: [Float], as kind: ElementKind) {
    self.init(shape: shape, as: kind, run: shape.count) { _ in floats }
  }

  /// Creates a plain tensor of a floating-point `kind` from numbers that are produced a run at a
  /// time. Only one run of float32 numbers is in memory.
  ///
  /// - Parameters:
  ///   - run: the numbers of a run; the last run may be shorter.
  ///   - make: returns the numbers of a run. It is called in order.
  /// - Precondition: `kind` is `f32`, `f16` or `bf16`, and `make` returns as many numbers as the
  ///   range has.
  package init(
    shape: Shape, as kind: ElementKind, run: Int = 1 << 16, _ make: (Range<Int>) -> [Float]
  ) {
    precondition(
      kind.isNarrowable, "numbers are narrowed to f32, f16 or bf16, not to \(kind.rawValue)")
    let width = kind.bitWidth / 8
    let bytes = ByteSlice(count: shape.count * width) { target in
      guard let base = target.baseAddress else { return }
      for start in stride(from: 0, to: shape.count, by: max(1, run)) {
        let range = start..<min(start + run, shape.count)
        let floats = make(range)
        precondition(floats.count == range.count, "\(floats.count) numbers for \(range)")
        floats.withUnsafeBufferPointer { narrow($0, as: kind, into: base + start * width) }
      }
    }
    self.init(shape: shape, encoding: .plain(kind), parts: [bytes])
  }

  /// Converts the numbers to a plain floating-point `kind`, rounded to nearest even.
  ///
  /// Rows are widened a few at a time, which bounds the additional memory. A number beyond the
  /// range of float16 becomes infinite; callers check ``hasNonfinite``.
  ///
  /// - Precondition: `kind` is `f32`, `f16` or `bf16`, and the encoding can be widened.
  package func converted(to kind: ElementKind) -> StoredTensor {
    precondition(
      kind.isNarrowable, "numbers are converted to f32, f16 or bf16, not to \(kind.rawValue)")
    if encoding == .plain(kind) { return self }
    let width = kind.bitWidth / 8
    let length = shape.rowLength
    let bytes = ByteSlice(count: shape.count * width) { target in
      guard let base = target.baseAddress else { return }
      forEachRun { rows, floats in
        floats.withUnsafeBufferPointer {
          narrow($0, as: kind, into: base + rows.lowerBound * length * width)
        }
      }
    }
    return StoredTensor(shape: shape, encoding: .plain(kind), parts: [bytes])
  }

  /// ``converted(to:)`` for numbers that `kind` must hold.
  ///
  /// - Throws: ``NarrowingError`` for numbers that are not finite, or too large for `kind`.
  package func narrowed(to kind: ElementKind) throws(NarrowingError) -> StoredTensor {
    let narrow = converted(to: kind)
    guard narrow.hasNonfinite else { return narrow }
    throw hasNonfinite ? .nonfinite : .overflows(limit: kind.largestMagnitude)
  }

  /// Calls `body` with the float32 numbers of one run of rows after another. A run fits the
  /// processor's cache, or is a single row.
  package func forEachRun(_ body: (Range<Int>, Span<Float>) -> Void) {
    let length = shape.rowLength
    guard shape.count > 0 else { return }
    let step = min(shape.rows, max(1, (1 << 16) / length))
    withUnsafeTemporaryAllocation(of: Float.self, capacity: step * length) { buffer in
      var row = 0
      while row < shape.rows {
        let rows = row..<min(row + step, shape.rows)
        widen(rows: rows, into: buffer)
        body(
          rows,
          Span(_unsafeElements: UnsafeBufferPointer(rebasing: buffer[..<(rows.count * length)])))
        row = rows.upperBound
      }
    }
  }

  /// Calls `body` with the float32 numbers of this tensor and of another one of the same shape, a
  /// run of rows at a time, in order.
  package func forEachRun(
    beside other: StoredTensor, _ body: (Span<Float>, Span<Float>) -> Void
  ) {
    precondition(shape == other.shape, "\(shape) beside \(other.shape)")
    forEachRun { rows, floats in
      let widened = [Float](unsafeUninitializedCapacity: floats.count) {
        other.widen(rows: rows, into: $0)
        $1 = floats.count
      }
      body(floats, widened.span)
    }
  }
}

/// Writes `source` to `target` as floating-point numbers of `kind`, rounded to nearest even.
private func narrow(
  _ source: UnsafeBufferPointer<Float>, as kind: ElementKind, into target: UnsafeMutableRawPointer
) {
  guard let base = source.baseAddress else { return }
  switch kind {
  case .f16: decant_f32_to_f16(base, target.assumingMemoryBound(to: UInt16.self), source.count)
  case .bf16: decant_f32_to_bf16(base, target.assumingMemoryBound(to: UInt16.self), source.count)
  default: target.copyMemory(from: base, byteCount: source.count * 4)
  }
}

extension ElementKind {
  /// Whether float32 numbers can be rounded to this kind.
  fileprivate var isNarrowable: Bool { self == .f32 || self == .f16 || self == .bf16 }

  /// The largest finite number of f16 and bf16; that of float32 for other kinds.
  package var largestMagnitude: Float {
    switch self {
    case .f16: Float(Float16.greatestFiniteMagnitude)
    // The upper half of a float32 with the largest exponent.
    case .bf16: Float(bitPattern: 0x7f7f_0000)
    default: .greatestFiniteMagnitude
    }
  }
}

/// Why numbers cannot be stored in a floating-point kind.
package enum NarrowingError: Error, Equatable {
  /// A number is NaN or infinite.
  case nonfinite
  /// All numbers are finite, and a magnitude is above `limit`, the largest that the kind stores.
  case overflows(limit: Float)
}
