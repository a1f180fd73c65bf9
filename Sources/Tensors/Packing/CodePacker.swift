package import Support

/// The storage of signed integer codes of one bit width in bytes.
///
/// Codes are packed row by row, and every row begins at a byte of its own. A bit width is one file
/// with a type that conforms to this protocol, and one line in ``CodePackers/all``.
package protocol CodePacker: Sendable {
  /// Bits of a code, at most 16. Codes are from `-(1 << (bits - 1))` to `(1 << (bits - 1)) - 1`.
  var bits: Int { get }

  /// The number of bytes of a packed row of `count` codes. It must not overflow for any `count`.
  func rowBytes(_ count: Int) -> Int

  /// Packs the codes of one row.
  ///
  /// - Parameters:
  ///   - codes: the codes of the whole row.
  ///   - row: ``rowBytes(_:)`` bytes. Every byte must be written, unused bits as zeros.
  func pack(_ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer)

  /// Unpacks the codes `columns` of the packed row that begins at `row`.
  func unpack(
    _ row: UnsafeRawPointer, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>)

  /// Unpacks the codes `columns` of the packed row that begins at `row`, and multiplies each by
  /// `scale`. The default calls ``unpack(_:columns:into:)``; a width may provide a faster form.
  func widen(
    _ row: UnsafeRawPointer, columns: Range<Int>, scale: Float,
    into target: UnsafeMutablePointer<Float>)
}

extension CodePacker {
  package func widen(
    _ row: UnsafeRawPointer, columns: Range<Int>, scale: Float,
    into target: UnsafeMutablePointer<Float>
  ) {
    withUnsafeTemporaryAllocation(of: Int16.self, capacity: columns.count) { codes in
      guard let base = codes.baseAddress else { return }
      unpack(row, columns: columns, into: base)
      for index in 0..<columns.count { target[index] = scale * Float(base[index]) }
    }
  }
}

/// The list of code packers, one for each bit width.
package enum CodePackers {
  package static let all: [any CodePacker] = [Int8Packer(), Int4Packer()]

  /// The packer of a bit width, or `nil`.
  static func packer(bits: Int) -> (any CodePacker)? { all.first { $0.bits == bits } }
}

extension TensorEncoding {
  /// The codes part of a tensor with these codes, row-major.
  ///
  /// - Precondition: the encoding has codes of a known bit width, and `codes` fills `shape`.
  package func packed(_ codes: [Int8], for shape: Shape) -> ByteSlice {
    precondition(codes.count == shape.count, "\(codes.count) codes for \(name) \(shape)")
    // Codes of one byte are stored as they are.
    if codeFormat?.bits == 8 { return ByteSlice(codes) }
    let length = shape.rowLength
    return packed(for: shape) { row in codes[row * length..<(row + 1) * length].map(Int16.init) }
  }

  /// The codes part of a tensor whose codes are produced a row at a time.
  ///
  /// - Parameter codes: the codes of a row. It is called in order.
  /// - Precondition: the encoding has codes of a known bit width, and `codes` gives full rows.
  package func packed(for shape: Shape, codes: (_ row: Int) -> [Int16]) -> ByteSlice {
    guard let packer = codeFormat?.packer else {
      preconditionFailure("\(name) has no codes of a known width")
    }
    let length = shape.rowLength
    let rowBytes = packer.rowBytes(length)
    let rows = shape.count == 0 ? 0 : shape.rows
    return ByteSlice(count: rows * rowBytes) { target in
      for row in 0..<rows {
        let codes = codes(row)
        precondition(codes.count == length, "\(codes.count) codes for a row of \(shape)")
        codes.withUnsafeBufferPointer {
          packer.pack(
            $0,
            into: UnsafeMutableRawBufferPointer(
              rebasing: target[row * rowBytes..<(row + 1) * rowBytes]))
        }
      }
    }
  }
}

extension StoredTensor {
  /// The codes of a row.
  ///
  /// - Precondition: the encoding has codes of a known bit width.
  package func codes(row: Int) -> [Int16] {
    guard let packer = encoding.codeFormat?.packer, 0..<shape.rows ~= row else {
      preconditionFailure("codes of row \(row) of \(encoding.name) \(shape)")
    }
    let length = shape.rowLength
    return [Int16](unsafeUninitializedCapacity: length) { codes, count in
      parts[0].withUnsafeBytes { raw in
        guard let base = raw.baseAddress, let codes = codes.baseAddress, length > 0 else { return }
        packer.unpack(base + row * packer.rowBytes(length), columns: 0..<length, into: codes)
      }
      count = length
    }
  }
}
