/// How the numbers of a tensor are stored.
///
/// A tensor is read as a matrix of ``Shape/rows`` (output channels) by ``Shape/rowLength``. An
/// encoding says which parts of bytes hold it and how to widen a run of rows to float32; it does
/// not say how codes were chosen, which is a scheme's matter.
package enum TensorEncoding: Hashable, Sendable {
  /// One number after another, row-major. One part.
  case plain(ElementKind)

  /// Symmetric integer codes with a scale for each group of a row: `w = scale * code`.
  ///
  /// `bits` is 8 or 4. `groupSize` is the number of consecutive weights of a row that share a
  /// scale, the last group of a row may be shorter; `nil` is one scale a row (a scale per output
  /// channel). Two parts:
  ///
  ///     codes   rows x rowLength of int8; or two int4 a byte, the low nibble first, two's
  ///             complement, each row padded to a whole byte with a zero nibble
  ///     scales  rows x groups of float32, or of float16 where `groupSize` is given
  case symmetric(bits: Int, groupSize: Int?)

  package static let int8 = TensorEncoding.symmetric(bits: 8, groupSize: nil)

  /// The name that files and messages use: `f16`, `int8`, `int8-g64`, `int4-g32`.
  package var name: String {
    switch self {
    case .plain(let kind): kind.rawValue.lowercased()
    case .symmetric(let bits, nil): "int\(bits)"
    case .symmetric(let bits, let group?): "int\(bits)-g\(group)"
    }
  }

  /// The encoding of that name, or `nil`.
  package init?(name: String) {
    if let kind = ElementKind(rawValue: name.uppercased()), name == name.lowercased() {
      self = .plain(kind)
      return
    }
    let pieces = name.split(separator: "-", omittingEmptySubsequences: false)
    guard let first = pieces.first, first == "int8" || first == "int4", pieces.count <= 2 else {
      return nil
    }
    var group: Int?
    if pieces.count == 2 {
      guard pieces[1].first == "g", let size = Int(pieces[1].dropFirst()), size > 0 else {
        return nil
      }
      group = size
    }
    self = .symmetric(bits: first == "int8" ? 8 : 4, groupSize: group)
    if self.name != name { return nil }
  }

  /// Scales of one row; 0 for plain encodings.
  package func groups(in shape: Shape) -> Int {
    guard case .symmetric(_, let groupSize) = self, shape.rowLength > 0 else { return 0 }
    guard let groupSize else { return 1 }
    return (shape.rowLength - 1) / groupSize + 1
  }

  /// The kind of number that the scales are; `nil` for plain encodings.
  package var scaleKind: ElementKind? {
    switch self {
    case .plain: nil
    case .symmetric(_, let groupSize): groupSize == nil ? .f32 : .f16
    }
  }

  /// Names of the parts, in order.
  package var partNames: [String] {
    switch self {
    case .plain: ["data"]
    case .symmetric: ["codes", "scales"]
    }
  }

  /// Bytes of one number of each part: 4 for both of a complex number's, 1 where several share one.
  package var numberWidths: [Int] {
    switch self {
    case .plain(.c64): [4]
    case .plain(let kind): [max(1, kind.bitWidth / 8)]
    case .symmetric: [1, (scaleKind?.bitWidth ?? 8) / 8]
    }
  }

  /// Bytes of each part for a tensor of `shape`; `nil` when a size overflows or the encoding
  /// cannot hold that shape.
  package func partSizes(for shape: Shape) -> [Int]? {
    switch self {
    case .plain(let kind):
      return kind.byteCount(of: shape.count).map { [$0] }
    case .symmetric(let bits, let groupSize):
      guard bits == 8 || bits == 4, groupSize ?? 1 > 0 else { return nil }
      let rowBytes = bits == 8 ? shape.rowLength : shape.rowLength / 2 + shape.rowLength % 2
      let codes = shape.rows.multipliedReportingOverflow(by: rowBytes)
      let scales = shape.rows.multipliedReportingOverflow(by: groups(in: shape))
      guard !codes.overflow, !scales.overflow,
        let scaleBytes = scaleKind?.byteCount(of: scales.partialValue)
      else { return nil }
      return [codes.partialValue, scaleBytes]
    }
  }

  /// Bytes of all parts together; `nil` when they overflow or the encoding cannot hold that shape.
  package func byteCount(for shape: Shape) -> Int? {
    var total = 0
    for size in partSizes(for: shape) ?? [.max, .max] {
      let (sum, overflow) = total.addingReportingOverflow(size)
      if overflow { return nil }
      total = sum
    }
    return total
  }

  /// Whether the tensor holds floating-point numbers, or codes that stand for them.
  package var isFloatingPoint: Bool {
    switch self {
    case .plain(let kind): kind.isFloatingPoint
    case .symmetric: true
    }
  }

  /// Whether the numbers can be widened to float32.
  package var isWidenable: Bool {
    switch self {
    case .plain(let kind): kind.isWidenable
    case .symmetric: true
    }
  }

  /// Whether the numbers are integer codes rather than floating-point numbers of some width.
  package var isQuantized: Bool {
    if case .symmetric = self { true } else { false }
  }
}
