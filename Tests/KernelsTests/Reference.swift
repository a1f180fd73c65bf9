import CKernels
import Kernels
import Support
import Tensors
import TestSupport

/// The maximum relative root mean square error of results, compared with float64 references.
enum Tolerance {
  /// Sums of thousands of float32 products, each with a rounding error of 2^-24, grouped by tiles.
  static let sums = 1e-6
  /// The Winograd algorithm F(4 x 4, 3 x 3), whose transforms have coefficients up to 8 that
  /// cancel.
  static let winograd = 5e-6
  /// Products of bfloat16 numbers, each with a rounding error of 2^-9.
  static let bfloat16 = 0x1p-7
  /// Exponentials and quotients: a few rounding errors of 2^-24, and an approximation within 1e-7.
  static let functions = 2e-7
  /// One product and two sums, each with a rounding error of 2^-24; statistics are float64.
  static let normalization = 2e-7
}

/// The relative root mean square error, compared with numbers in float64. It is infinite for NaN or
/// a different count.
///
/// - Parameter floor: the minimum root mean square by which the error is divided. It allows for a
///   few sums whose terms happen to cancel.
func error(_ found: [Float], _ expected: [Double], floor: Double = 0) -> Double {
  if found.count != expected.count { return .infinity }
  var difference = 0.0
  var power = 0.0
  for (a, b) in zip(found, expected) {
    difference += (Double(a) - b) * (Double(a) - b)
    power += b * b
  }
  if difference == 0 { return 0 }
  power = max(power, floor * floor * Double(expected.count))
  return difference.isFinite && power > 0 ? (difference / power).squareRoot() : .infinity
}

/// A reproducible generator of pseudo-random numbers: SplitMix64 (Steele et al., 2014).
struct Numbers {
  private var state: UInt64

  init(seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 }

  mutating func bits() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Uniform in [-1, 1).
  mutating func float() -> Float { Float(Int64(bitPattern: bits()) >> 40) * 0x1p-23 }

  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in float() } }
}

func randomTensor(_ shape: Shape, seed: Int) -> Tensor {
  var numbers = Numbers(seed: seed)
  return Tensor(shape: shape, values: numbers.floats(shape.count))
}

/// Random weights in any encoding: codes over their whole range, scales of a typical size.
func randomWeights(_ shape: Shape, _ encoding: TensorEncoding, seed: Int) -> StoredTensor {
  var numbers = Numbers(seed: seed)
  switch encoding {
  case .plain(let kind):
    return StoredTensor(shape: shape, floats: numbers.floats(shape.count), as: kind)
  case .codes(let format):
    let codes = (0..<shape.count).map { _ in
      Int16(truncatingIfNeeded: numbers.bits() >> 8) >> Int16(16 - format.bits)
    }
    let sizes = encoding.partSizes(for: shape) ?? []
    let factors = zip(format.factors, sizes.dropFirst(format.codePartCount)).map { factor, size in
      switch factor.kind {
      case .u8, .i8:
        return ByteSlice((0..<size).map { _ in UInt8(truncatingIfNeeded: numbers.bits()) & 63 })
      case .f16:
        return ByteSlice(
          numbers.floats(size / 2).map { Float16(0.01 + abs($0) / 8).bitPattern })
      default: return ByteSlice(numbers.floats(size / 4).map { 0.01 + abs($0) / 8 })
      }
    }
    return StoredTensor(
      shape: shape, encoding: encoding, parts: encoding.packed(codes, for: shape) + factors)
  case .scaled:
    return StoredTensor(
      scalingToFloat8: StoredTensor(shape: shape, floats: numbers.floats(shape.count)))
  }
}

/// The gate of rows [2n]: the first half times GELU of the second.
func geglu(_ x: Tensor) -> Tensor {
  let width = (x.shape.extents.last ?? 0) / 2
  var values = [Float](repeating: 0, count: x.shape.count / 2)
  values.withUnsafeMutableBufferPointer { values in
    x.values.withUnsafeBufferPointer { x in
      guard let output = values.baseAddress, let x = x.baseAddress else { return }
      for row in 0..<values.count / width {
        decant_geglu(x + row * 2 * width, x + row * 2 * width + width, output + row * width, width)
      }
    }
  }
  return Tensor(shape: Shape(x.shape.extents.dropLast() + [width]), values: values)
}

/// The encodings of weights.
let weightEncodings: [TensorEncoding] = [
  .plain(.f32), .plain(.f16), .plain(.bf16), .int8, .symmetric(bits: 8, groupSize: 64),
  .symmetric(bits: 4, groupSize: 32), .float8, .symmetric(bits: 6, groupSize: nil),
  .symmetric(bits: 5, groupSize: 32), .symmetric(bits: 16, groupSize: nil),
]
