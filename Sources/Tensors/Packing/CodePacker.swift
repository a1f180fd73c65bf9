package import Support

/// A packed row of codes.
package struct CodeRow {
  package let codes: UnsafeRawPointer
  /// The low bits of the codes, where a part of their own holds them.
  package let lowBits: UnsafeRawPointer?

  package init(codes: UnsafeRawPointer, lowBits: UnsafeRawPointer? = nil) {
    self.codes = codes
    self.lowBits = lowBits
  }
}

/// The storage of signed integer codes of one bit width in bytes.
///
/// Codes are packed row by row, and every row begins at a byte of its own. A width may store the low
/// bits of its codes in a part of their own: in a byte that holds the end of one code and the start of
/// the next, an entropy coder finds no pattern. A bit width is one file with a type that conforms to
/// this protocol, and one line in ``CodePackers/all``.
package protocol CodePacker: Sendable {
  /// Bits of a code, at most 16. Codes are from `-(1 << (bits - 1))` to `(1 << (bits - 1)) - 1`.
  var bits: Int { get }

  /// The number of bytes of a packed row of `count` codes. It must not overflow for any `count`.
  func rowBytes(_ count: Int) -> Int

  /// The bytes of a row of low bits; `nil` where codes are one part.
  func lowRowBytes(_ count: Int) -> Int?

  /// Packs the codes of one row.
  ///
  /// - Parameters:
  ///   - codes: the codes of the whole row.
  ///   - row: ``rowBytes(_:)`` bytes. Every byte must be written, unused bits as zeros.
  ///   - lowBits: ``lowRowBytes(_:)`` bytes, likewise; empty where codes are one part.
  func pack(
    _ codes: UnsafeBufferPointer<Int16>, into row: UnsafeMutableRawBufferPointer,
    lowBits: UnsafeMutableRawBufferPointer)

  /// Unpacks the codes `columns` of a packed row.
  func unpack(_ row: CodeRow, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>)

  /// Unpacks the codes `columns` of a packed row, and multiplies each by `scale`. The default calls
  /// ``unpack(_:columns:into:)``; a width may provide a faster form.
  func widen(
    _ row: CodeRow, columns: Range<Int>, scale: Float, into target: UnsafeMutablePointer<Float>)
}

extension CodePacker {
  package func lowRowBytes(_ count: Int) -> Int? { nil }

  package func widen(
    _ row: CodeRow, columns: Range<Int>, scale: Float, into target: UnsafeMutablePointer<Float>
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
  package static let all: [any CodePacker] = [
    Int8Packer(), Int4Packer(), Int5Packer(), Int6Packer(), Int16Packer(),
  ]

  /// The packer of a bit width, or `nil`.
  static func packer(bits: Int) -> (any CodePacker)? { all.first { $0.bits == bits } }
}

extension TensorEncoding {
  /// The parts that hold the codes of a tensor, row-major.
  ///
  /// - Precondition: the encoding has codes of a known bit width, and `codes` fills `shape`.
  package func packed(_ codes: [Int16], for shape: Shape) -> [ByteSlice] {
    precondition(codes.count == shape.count, "\(codes.count) codes for \(name) \(shape)")
    let length = shape.rowLength
    return codes.withUnsafeBufferPointer { codes in
      packed(for: shape) { row, pack in
        pack(UnsafeBufferPointer(rebasing: codes[row * length..<(row + 1) * length]))
      }
    }
  }

  /// The parts that hold the codes of a tensor whose codes are produced a row at a time.
  ///
  /// - Parameter codes: the codes of a row. It is called in order.
  /// - Precondition: the encoding has codes of a known bit width, and `codes` gives full rows.
  package func packed(for shape: Shape, codes: (_ row: Int) -> [Int16]) -> [ByteSlice] {
    packed(for: shape) { row, pack in codes(row).withUnsafeBufferPointer(pack) }
  }

  private func packed(
    for shape: Shape, codes: (_ row: Int, _ pack: (UnsafeBufferPointer<Int16>) -> Void) -> Void
  ) -> [ByteSlice] {
    guard let packer = codeFormat?.packer else {
      preconditionFailure("\(name) has no codes of a known width")
    }
    let length = shape.rowLength
    let rows = shape.count == 0 ? 0 : shape.rows
    let (rowBytes, lowBytes) = (packer.rowBytes(length), packer.lowRowBytes(length))
    var low: ByteSlice?
    func part(lowTarget: UnsafeMutableRawBufferPointer) -> ByteSlice {
      let lowWidth = lowBytes ?? 0
      return ByteSlice(count: rows * rowBytes) { target in
        for row in 0..<rows {
          codes(row) { codes in
            precondition(codes.count == length, "\(codes.count) codes for a row of \(shape)")
            packer.pack(
              codes,
              into: UnsafeMutableRawBufferPointer(
                rebasing: target[row * rowBytes..<(row + 1) * rowBytes]),
              lowBits: UnsafeMutableRawBufferPointer(
                rebasing: lowTarget[row * lowWidth..<(row + 1) * lowWidth]))
          }
        }
      }
    }
    guard let lowBytes else {
      return [part(lowTarget: UnsafeMutableRawBufferPointer(start: nil, count: 0))]
    }
    var high: ByteSlice?
    low = ByteSlice(count: rows * lowBytes) { high = part(lowTarget: $0) }
    return [high, low].compactMap { $0 }
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
      withCodeRows(of: packer) { place in
        guard let codes = codes.baseAddress, length > 0 else { return }
        packer.unpack(place(row), columns: 0..<length, into: codes)
      }
      count = length
    }
  }

  /// Calls `body` with a function that gives the place of each packed row; not where there are no
  /// codes.
  func withCodeRows(of packer: any CodePacker, _ body: ((_ row: Int) -> CodeRow) -> Void) {
    let length = shape.rowLength
    let (rowBytes, lowBytes) = (packer.rowBytes(length), packer.lowRowBytes(length))
    parts[0].withUnsafeBytes { codes in
      guard let codes = codes.baseAddress else { return }
      guard let lowBytes else {
        return body { row in CodeRow(codes: codes + row * rowBytes) }
      }
      parts[1].withUnsafeBytes { low in
        guard let low = low.baseAddress else { return }
        body { row in CodeRow(codes: codes + row * rowBytes, lowBits: low + row * lowBytes) }
      }
    }
  }
}
