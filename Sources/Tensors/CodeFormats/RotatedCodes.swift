extension CodeFormat {
  /// Int8 codes of rotated weights with a float32 scale for each row (ConvRot): each group of a
  /// row is multiplied by a Hadamard matrix before it is rounded, which spreads outliers over the
  /// group. Widening multiplies by the matrix again, which is its own inverse; see
  /// ``rotate(_:groupSize:)``.
  package static let rotatedInt8 = CodeFormat(
    name: "int8-convrot", bits: 8,
    scales: [Factor(part: "scales", kind: .f32, runLength: nil)], isRotated: true)

  /// Whether the format stores rotated weights in the codes and factors of `other`.
  package func isRotation(of other: CodeFormat) -> Bool {
    isRotated
      && self
        == CodeFormat(
          name: name, bits: other.bits, zeroPoint: other.zeroPoint, scales: other.scales,
          minimums: other.minimums, isRotated: true)
  }

  /// The weights in a rotated group of rows of `length` weights: the largest power of 4 from 16 to
  /// 256 that divides the length; `nil` where none does.
  package static func rotationSize(for length: Int) -> Int? {
    [256, 64, 16].first { length % $0 == 0 }
  }
}

/// The name of rotated codes: `int8-convrot`.
struct RotatedNaming: CodeNaming {
  func format(named name: String) -> CodeFormat? {
    name == CodeFormat.rotatedInt8.name ? .rotatedInt8 : nil
  }
}

/// Multiplies each group of `groupSize` numbers by a Kronecker power of this matrix, which is its
/// own inverse:
///
///      1  1  1 -1
///      1  1 -1  1   times 1/2
///      1 -1  1  1
///     -1  1  1  1
///
/// - Precondition: `groupSize` is a power of 4 and divides the count of numbers.
package func rotate(_ numbers: inout MutableSpan<Float>, groupSize: Int) {
  precondition(
    numbers.count % groupSize == 0, "\(numbers.count) numbers in groups of \(groupSize)")
  numbers.withUnsafeMutableBufferPointer { buffer in
    guard let base = buffer.baseAddress else { return }
    var step = 1
    while step < groupSize {
      for block in stride(from: 0, to: buffer.count, by: 4 * step) {
        for index in block..<block + step {
          let (a, b) = (base[index], base[index + step])
          let (c, d) = (base[index + 2 * step], base[index + 3 * step])
          let half = (a + b + c + d) / 2
          base[index] = half - d
          base[index + step] = half - c
          base[index + 2 * step] = half - b
          base[index + 3 * step] = half - a
        }
      }
      step *= 4
    }
  }
}

extension StoredTensor {
  /// The weights in float32 with each group of a row rotated, as ``CodeFormat/rotatedInt8`` stores
  /// them; `nil` where rows have no groups.
  package func rotated() -> StoredTensor? {
    guard let size = CodeFormat.rotationSize(for: shape.rowLength) else { return nil }
    var floats = floats()
    var span = floats.mutableSpan
    rotate(&span, groupSize: size)
    return StoredTensor(shape: shape, floats: floats)
  }
}
