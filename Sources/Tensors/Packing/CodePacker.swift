package import Support

/// The storage of signed integer codes of one bit width in bytes.
///
/// Codes are packed row by row, and every row begins at a byte of its own. A bit width is one file
/// with a type that conforms to this protocol, and one line in ``CodePackers/all``.
package protocol CodePacker: Sendable {
  /// Bits of a code, at most 8. Codes are from `-(1 << (bits - 1))` to `(1 << (bits - 1)) - 1`.
  var bits: Int { get }

  /// The number of bytes of a packed row of `count` codes. It must not overflow for any `count`.
  func rowBytes(_ count: Int) -> Int

  /// Packs the codes of one row.
  ///
  /// - Parameters:
  ///   - codes: the codes of the whole row.
  ///   - row: ``rowBytes(_:)`` bytes. Every byte must be written, unused bits as zeros.
  func pack(_ codes: UnsafeBufferPointer<Int8>, into row: UnsafeMutableRawBufferPointer)

  /// Unpacks the codes `columns` of the packed row that begins at `row`.
  func unpack(
    _ row: UnsafeRawPointer, columns: Range<Int>, into codes: UnsafeMutablePointer<Int8>)

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
    withUnsafeTemporaryAllocation(of: Int8.self, capacity: columns.count) { codes in
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
  /// The packer of the codes; `nil` for plain encodings and for unknown bit widths.
  var packer: (any CodePacker)? {
    guard case .symmetric(let bits, _) = self else { return nil }
    return CodePackers.packer(bits: bits)
  }

  /// The codes part of a tensor with these codes, row-major.
  ///
  /// - Precondition: the encoding has codes of a known bit width, and `codes` fills `shape`.
  package func packed(_ codes: [Int8], for shape: Shape) -> ByteSlice {
    guard let packer, codes.count == shape.count else {
      preconditionFailure("\(codes.count) codes for \(name) \(shape)")
    }
    let length = shape.rowLength
    let rowBytes = packer.rowBytes(length)
    let rows = codes.isEmpty ? 0 : shape.rows
    return ByteSlice(count: rows * rowBytes) { target in
      codes.withUnsafeBufferPointer { codes in
        for row in 0..<rows {
          packer.pack(
            UnsafeBufferPointer(rebasing: codes[row * length..<(row + 1) * length]),
            into: UnsafeMutableRawBufferPointer(
              rebasing: target[row * rowBytes..<(row + 1) * rowBytes]))
        }
      }
    }
  }
}
