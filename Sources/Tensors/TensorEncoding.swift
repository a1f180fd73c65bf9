/// The storage format of a tensor's numbers.
///
/// A tensor is stored as a matrix of ``Shape/rows`` (output channels) by ``Shape/rowLength``. The
/// encoding determines the parts of bytes that hold the matrix and how they are widened to float32.
/// It does not determine how codes are chosen; quantization schemes do.
package enum TensorEncoding: Hashable, Sendable {
  /// Numbers one after another, row-major. One part, `data`.
  case plain(ElementKind)

  /// Symmetric integer codes with a scale for each group of a row: `weight = scale * code`.
  ///
  /// `bits` is the width of a code; ``CodePackers/all`` lists the known widths. `groupSize` is the
  /// number of consecutive weights of a row that share a scale; the last group of a row may be
  /// shorter. `nil` means one scale for each row (output channel). Two parts:
  ///
  ///     codes   rows of codes, each packed by the ``CodePacker`` of the width
  ///     scales  [rows, groups] of float32, or of float16 if `groupSize` is given
  case symmetric(bits: Int, groupSize: Int?)

  package static let int8 = TensorEncoding.symmetric(bits: 8, groupSize: nil)

  /// The name in files and messages: `f16`, `int8`, `int8-g64`, `int4-g32`.
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
    guard let first = pieces.first, pieces.count <= 2,
      let packer = CodePackers.all.first(where: { "int\($0.bits)" == first })
    else { return nil }
    var group: Int?
    if pieces.count == 2 {
      guard pieces[1].first == "g", let size = Int(pieces[1].dropFirst()), size > 0 else {
        return nil
      }
      group = size
    }
    self = .symmetric(bits: packer.bits, groupSize: group)
    // The number of a group may have leading zeros.
    if self.name != name { return nil }
  }

  /// The number of scales of one row; 0 for plain encodings.
  package func groups(in shape: Shape) -> Int {
    guard case .symmetric(_, let groupSize) = self, shape.rowLength > 0 else { return 0 }
    guard let groupSize else { return 1 }
    return (shape.rowLength - 1) / groupSize + 1
  }

  /// The element kind of the scales; `nil` for plain encodings.
  package var scaleKind: ElementKind? {
    switch self {
    case .plain: nil
    case .symmetric(_, let groupSize): groupSize == nil ? .f32 : .f16
    }
  }

  /// The names of the parts, in order.
  package var partNames: [String] {
    switch self {
    case .plain: ["data"]
    case .symmetric: ["codes", "scales"]
    }
  }

  /// The bytes of one number of each part. It is 4 for each half of a complex number, and 1 where
  /// several numbers share a byte.
  package var numberWidths: [Int] {
    switch self {
    case .plain(.c64): [4]
    case .plain(let kind): [max(1, kind.bitWidth / 8)]
    case .symmetric: [1, (scaleKind?.bitWidth ?? 8) / 8]
    }
  }

  /// The size in bytes of each part for a tensor of `shape`; `nil` when a size overflows or the
  /// encoding cannot store the shape.
  package func partSizes(for shape: Shape) -> [Int]? {
    switch self {
    case .plain(let kind):
      return kind.byteCount(of: shape.count).map { [$0] }
    case .symmetric(_, let groupSize):
      guard let packer, groupSize ?? 1 > 0 else { return nil }
      let codes = shape.rows.multipliedReportingOverflow(by: packer.rowBytes(shape.rowLength))
      let scales = shape.rows.multipliedReportingOverflow(by: groups(in: shape))
      guard !codes.overflow, !scales.overflow,
        let scaleBytes = scaleKind?.byteCount(of: scales.partialValue)
      else { return nil }
      return [codes.partialValue, scaleBytes]
    }
  }

  /// The size in bytes of all parts; `nil` when it overflows or the encoding cannot store the
  /// shape.
  package func byteCount(for shape: Shape) -> Int? {
    var total = 0
    for size in partSizes(for: shape) ?? [.max, .max] {
      let (sum, overflow) = total.addingReportingOverflow(size)
      if overflow { return nil }
      total = sum
    }
    return total
  }

  /// Whether the tensor has floating-point numbers, or codes that represent them.
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

  /// Whether the tensor has integer codes with scales.
  package var isQuantized: Bool {
    if case .symmetric = self { true } else { false }
  }
}
