/// How a matrix of weights is stored as integer codes:
/// `weight = scale * (code - zeroPoint) - minimum`, computed in float32.
///
/// The scale of a weight is the product of its ``scales``, and the minimum that of its ``minimums``.
/// The parts of a tensor are its codes, then the numbers of each of ``scales`` and ``minimums``:
///
///     codes     rows of codes, each packed by the ``CodePacker`` of the width
///     low bits  of widths that store them apart
///     scales    [rows, runs] numbers
///     …
///
/// A format is data: sizes, names and arithmetic of any format follow from these members.
package struct CodeFormat: Hashable, Sendable {
  /// One number for each run of consecutive weights of a row, stored as a part of its own.
  package struct Factor: Hashable, Sendable {
    /// The name of the part in messages: `scales`.
    package let part: String
    package let kind: ElementKind
    /// The weights that share a number; the last run of a row may be shorter. `nil` for one number
    /// for each row.
    package let runLength: Int?

    package init(part: String, kind: ElementKind, runLength: Int?) {
      self.part = part
      self.kind = kind
      self.runLength = runLength
    }

    /// The numbers for a row of `length` weights.
    func runs(in length: Int) -> Int {
      length == 0 ? 0 : (length - 1) / (runLength ?? length) + 1
    }
  }

  /// The name in files and messages: `int8-g64`.
  package let name: String
  /// The width of a code. ``CodePackers/all`` lists the known widths.
  package let bits: Int
  /// The code of the weight 0 or, with minimums, of the negated minimum. Codes are stored as signed
  /// numbers: a format whose codes count upwards from 0 has the zero point `-(1 << (bits - 1))`.
  package let zeroPoint: Int
  /// At least one.
  package let scales: [Factor]
  /// Numbers that are subtracted; empty for symmetric codes.
  package let minimums: [Factor]
  /// Whether the numbers that codes and factors give are rotated weights; see
  /// ``rotate(_:groupSize:)``. The length of a row determines the size of groups.
  package let isRotated: Bool
  /// The weights of a block, which rows are multiples of; 1 for rows of any length.
  package let blockLength: Int

  package init(
    name: String, bits: Int, zeroPoint: Int = 0, scales: [Factor], minimums: [Factor] = [],
    isRotated: Bool = false, blockLength: Int = 1
  ) {
    precondition(!scales.isEmpty, "codes of \(name) without scales")
    self.name = name
    self.bits = bits
    self.zeroPoint = zeroPoint
    self.scales = scales
    self.minimums = minimums
    self.isRotated = isRotated
    self.blockLength = blockLength
  }

  /// The factors in the order of their parts.
  package var factors: [Factor] { scales + minimums }

  /// The packer of the codes; `nil` for an unknown width.
  var packer: (any CodePacker)? { CodePackers.packer(bits: bits) }

  /// The names of the parts that hold the codes.
  private var codeParts: [String] { ["codes"] + (hasLowBits ? ["low_bits"] : []) }

  private var hasLowBits: Bool { packer?.lowRowBytes(1) != nil }

  /// The names of all parts.
  var partNames: [String] { codeParts + factors.map(\.part) }

  /// The number of parts that hold the codes. Those of ``scales`` and ``minimums`` follow.
  package var codePartCount: Int { hasLowBits ? 2 : 1 }

  /// The bytes of one number of each part; 1 where several codes share a byte.
  var numberWidths: [Int] {
    [bits % 8 == 0 ? bits / 8 : 1] + (hasLowBits ? [1] : []) + factors.map { $0.kind.bitWidth / 8 }
  }

  /// The bytes of each part; `nil` when a size overflows, or when no such tensor exists.
  func partSizes(for shape: Shape) -> [Int]? {
    guard let packer, factors.allSatisfy({ $0.runLength ?? 1 > 0 }) else { return nil }
    let length = shape.rowLength
    if isRotated, Self.rotationSize(for: length) == nil { return nil }
    if length % blockLength != 0 { return nil }
    var sizes: [Int] = []
    for bytes in [packer.rowBytes(length), packer.lowRowBytes(length)].compactMap({ $0 }) {
      let codes = shape.rows.multipliedReportingOverflow(by: bytes)
      if codes.overflow { return nil }
      sizes.append(codes.partialValue)
    }
    for factor in factors {
      let numbers = shape.rows.multipliedReportingOverflow(by: factor.runs(in: length))
      guard !numbers.overflow, let size = factor.kind.byteCount(of: numbers.partialValue) else {
        return nil
      }
      sizes.append(size)
    }
    return sizes
  }
}
