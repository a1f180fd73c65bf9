package import Support

/// A tensor in its storage format: a shape, an encoding, and the bytes of each part.
///
/// Users widen its numbers to float32 a few rows at a time.
package struct StoredTensor: Sendable {
  package let shape: Shape
  package let encoding: TensorEncoding
  /// One slice for each of ``TensorEncoding/partNames``.
  package let parts: [ByteSlice]

  /// - Precondition: the parts have the sizes of ``TensorEncoding/partSizes(for:)``.
  package init(shape: Shape, encoding: TensorEncoding, parts: [ByteSlice]) {
    precondition(
      encoding.partSizes(for: shape) == parts.map(\.count),
      "\(encoding.name) \(shape) with parts of \(parts.map(\.count)) bytes")
    self.shape = shape
    self.encoding = encoding
    self.parts = parts
  }

  /// Creates a float32 tensor.
  package init(shape: Shape, floats: [Float]) {
    self.init(shape: shape, encoding: .plain(.f32), parts: [ByteSlice(floats)])
  }

  package init(_ tensor: Tensor) { self.init(shape: tensor.shape, floats: tensor.values) }

  package var entry: TensorEntry { TensorEntry(shape: shape, encoding: encoding) }

  /// The bytes of all parts.
  package var byteCount: Int { parts.reduce(0) { $0 + $1.count } }

  /// All numbers as float32, row-major.
  ///
  /// - Precondition: the encoding can be widened (see ``ElementKind/isWidenable``).
  package func floats() -> [Float] {
    [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
      widen(rows: 0..<shape.rows, into: buffer)
      count = shape.count
    }
  }

  /// The tensor of some rows, in the same encoding. Its bytes are those of this tensor.
  ///
  /// - Precondition: the tensor has a rank of at least 1, and these rows.
  package func rows(_ rows: Range<Int>) -> StoredTensor {
    var parts = parts
    for index in parts.indices where index == 0 || !encoding.hasOneScale {
      let width = shape.rows == 0 ? 0 : parts[index].count / shape.rows
      parts[index] = parts[index][rows.lowerBound * width..<rows.upperBound * width]
    }
    return StoredTensor(
      shape: Shape([rows.count] + shape.extents.dropFirst()), encoding: encoding, parts: parts)
  }

  /// The tensor widened to float32.
  package func widened() -> Tensor { Tensor(shape: shape, values: floats()) }

  /// Writes the numbers of `rows` as float32 to the start of `target`.
  ///
  /// - Precondition: `target` holds at least `rows.count * shape.rowLength` numbers.
  package func widen(rows: Range<Int>, into target: inout MutableSpan<Float>) {
    target.withUnsafeMutableBufferPointer { widen(rows: rows, into: $0) }
  }

  /// Writes the numbers in `columns` of each of `rows` as float32 to the start of `target`, one row
  /// after another.
  ///
  /// - Precondition: `target` holds at least `rows.count * columns.count` numbers.
  package func widen(
    rows: Range<Int>, columns: Range<Int>, into target: inout MutableSpan<Float>
  ) {
    target.withUnsafeMutableBufferPointer { widen(rows: rows, columns: columns, into: $0) }
  }

  /// Calls `body` with the stored numbers of `rows`, without a copy. Returns `nil` when they are
  /// not stored as aligned float32.
  package func withFloatsInPlace<Result>(
    rows: Range<Int>, _ body: (Span<Float>) -> Result
  ) -> Result? {
    withInPlace(rows: rows, .f32, body)
  }

  /// Calls `body` with the bits of the stored numbers of `rows`, without a copy. Returns `nil` when
  /// they are not stored as aligned float16.
  package func withHalvesInPlace<Result>(
    rows: Range<Int>, _ body: (Span<UInt16>) -> Result
  ) -> Result? {
    withInPlace(rows: rows, .f16, body)
  }

  private func withInPlace<Number: BitwiseCopyable, Result>(
    rows: Range<Int>, _ kind: ElementKind, _ body: (Span<Number>) -> Result
  ) -> Result? {
    guard encoding == .plain(kind) else { return nil }
    let width = MemoryLayout<Number>.stride
    let stride = shape.rowLength * width
    return parts[0][rows.lowerBound * stride..<rows.upperBound * stride].withUnsafeBytes { raw in
      if raw.isEmpty { return body(Span()) }
      guard let base = raw.baseAddress, UInt(bitPattern: base) % UInt(width) == 0 else {
        return nil
      }
      return body(Span(_unsafeElements: raw.bindMemory(to: Number.self)))
    }
  }
}

/// The shape and encoding of a stored tensor, which are known before its bytes are read.
package struct TensorEntry: Hashable, Sendable {
  package let shape: Shape
  package let encoding: TensorEncoding

  package init(shape: Shape, encoding: TensorEncoding) {
    self.shape = shape
    self.encoding = encoding
  }

  /// The bytes of all parts; 0 when the encoding cannot store the shape.
  package var byteCount: Int { encoding.byteCount(for: shape) ?? 0 }
}

/// A float32 tensor in memory, row-major: activations, latents, images before rounding.
package struct Tensor: Sendable, Equatable {
  package let shape: Shape
  package var values: [Float]

  /// - Precondition: `values` has as many numbers as `shape`.
  package init(shape: Shape, values: [Float]) {
    precondition(values.count == shape.count, "\(values.count) numbers for \(shape)")
    self.shape = shape
    self.values = values
  }

  package init(zeros shape: Shape) {
    self.init(shape: shape, values: [Float](repeating: 0, count: shape.count))
  }

  /// The same numbers with another shape of the same number of elements.
  package func reshaped(_ shape: Shape) -> Tensor { Tensor(shape: shape, values: values) }
}
