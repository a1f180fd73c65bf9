/// The storage format of a tensor's numbers.
///
/// A tensor is stored as a matrix of ``Shape/rows`` (output channels) by ``Shape/rowLength``. The
/// encoding determines the parts of bytes that hold the matrix and how they are widened to float32.
/// It does not determine how codes are chosen; quantization schemes do.
package enum TensorEncoding: Hashable, Sendable {
  /// Numbers one after another, row-major. One part, `data`.
  case plain(ElementKind)

  /// Integer codes with scales, and with minimums where the format has any.
  case codes(CodeFormat)

  /// Floating-point codes of a narrow kind with one float32 scale for the whole tensor:
  /// `weight = scale * code`. Two parts, `codes` and `scale`.
  ///
  /// The only kind is ``ElementKind/f8e4m3``.
  case scaled(ElementKind)

  /// Symmetric codes; see ``CodeFormat/symmetric(bits:groupSize:)``.
  package static func symmetric(bits: Int, groupSize: Int?) -> TensorEncoding {
    .codes(.symmetric(bits: bits, groupSize: groupSize))
  }

  package static let int8 = TensorEncoding.symmetric(bits: 8, groupSize: nil)
  package static let float8 = TensorEncoding.scaled(.f8e4m3)

  /// The name of ``float8``, which differs from that of plain float8 numbers.
  private static let float8Name = "fp8"

  /// The name in files and messages: `f16`, `int8`, `int8-g64`, `fp8`.
  package var name: String {
    switch self {
    case .plain(let kind): kind.rawValue.lowercased()
    case .codes(let format): format.name
    case .scaled: Self.float8Name
    }
  }

  /// The encoding of that name, or `nil`.
  package init?(name: String) {
    if let kind = ElementKind(rawValue: name.uppercased()), name == name.lowercased() {
      self = .plain(kind)
    } else if name == Self.float8Name {
      self = .float8
    } else if let format = CodeNamings.format(named: name) {
      self = .codes(format)
    } else {
      return nil
    }
  }

  /// The names of the parts, in order.
  package var partNames: [String] {
    switch self {
    case .plain: ["data"]
    case .codes(let format): format.partNames
    case .scaled: ["codes", "scale"]
    }
  }

  /// The bytes of one number of each part. It is 4 for each half of a complex number, and 1 where
  /// several numbers share a byte.
  package var numberWidths: [Int] {
    switch self {
    case .plain(.c64): [4]
    case .plain(let kind): [max(1, kind.bitWidth / 8)]
    case .codes(let format): format.numberWidths
    case .scaled(let kind): [kind.bitWidth / 8, 4]
    }
  }

  /// The size in bytes of each part for a tensor of `shape`; `nil` when a size overflows or the
  /// encoding cannot store the shape.
  package func partSizes(for shape: Shape) -> [Int]? {
    switch self {
    case .plain(let kind): kind.byteCount(of: shape.count).map { [$0] }
    case .codes(let format): format.partSizes(for: shape)
    case .scaled(let kind): kind.byteCount(of: shape.count).map { [$0, 4] }
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
    case .codes, .scaled: true
    }
  }

  /// Whether the numbers can be widened to float32.
  package var isWidenable: Bool {
    switch self {
    case .plain(let kind): kind.isWidenable
    case .codes, .scaled: true
    }
  }

  /// Whether the tensor has codes with scales.
  package var isQuantized: Bool { if case .plain = self { false } else { true } }

  /// Whether one part is a scale for all numbers. In other encodings, every part has bytes for each
  /// row.
  package var hasOneScale: Bool { if case .scaled = self { true } else { false } }

  /// The format of integer codes; `nil` for other encodings.
  package var codeFormat: CodeFormat? {
    if case .codes(let format) = self { format } else { nil }
  }
}
