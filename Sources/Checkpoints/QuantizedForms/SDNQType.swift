import Tensors

/// An element type of SDNQ: what `weights_dtype` names.
///
/// Types of fewer than 8 bits are packed into bytes, and floats of up to 8 bits have no infinities
/// and no NaN. Source: SDNQ 0.2.8, `dtype_dict` in common.py, packed_int and packed_float.py.
struct SDNQType: Equatable {
  let bits: Int
  /// Whether a minimum is added to the products of codes and scales.
  let isUnsigned: Bool
  /// The kind of the stored tensor.
  let storage: ElementKind
  /// The number that each code stands for; `nil` where the stored tensor has numbers.
  let values: [Float]?

  var isPacked: Bool { bits < 8 }

  /// The types that are read, for messages.
  static let readable = "an integer or a float of 2 to 8, 16 or 32 bits"

  /// `nil` for an unknown type, and for packed types of more than 8 bits.
  init?(_ name: String) {
    guard let type = Self.all[Self.aliases[name] ?? name] else { return nil }
    self = type
  }

  private init(bits: Int, isUnsigned: Bool, storage: ElementKind, values: [Float]? = nil) {
    self.bits = bits
    self.isUnsigned = isUnsigned
    self.storage = storage
    self.values = values
  }

  private static let aliases = [
    "fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "float8_e4m3fn",
    "fp7": "float7_e3m3fn", "fp6": "float6_e3m2fn", "fp5": "float5_e2m2fn",
    "fp4": "float4_e2m1fn", "fp3": "float3_e1m1fn", "fp2": "float2_e1m0fn",
    "ufp8": "float8_e4m4fnu", "ufp7": "float7_e3m4fnu", "ufp6": "float6_e3m3fnu",
    "ufp5": "float5_e2m3fnu", "ufp4": "float4_e2m2fnu", "ufp3": "float3_e1m2fnu",
    "ufp2": "float2_e1m1fnu",
  ]

  private static let all: [String: SDNQType] = {
    var types: [String: SDNQType] = [
      "int8": SDNQType(bits: 8, isUnsigned: false, storage: .i8),
      "int16": SDNQType(bits: 16, isUnsigned: false, storage: .i16),
      "int32": SDNQType(bits: 32, isUnsigned: false, storage: .i32),
      "uint8": SDNQType(bits: 8, isUnsigned: true, storage: .u8),
      "uint16": SDNQType(bits: 16, isUnsigned: true, storage: .u16),
      "uint32": SDNQType(bits: 32, isUnsigned: true, storage: .u32),
      "float8_e4m3fn": SDNQType(bits: 8, isUnsigned: false, storage: .f8e4m3),
      "float8_e5m2": SDNQType(bits: 8, isUnsigned: false, storage: .f8e5m2),
      "float16": SDNQType(bits: 16, isUnsigned: false, storage: .f16),
      "bfloat16": SDNQType(bits: 16, isUnsigned: false, storage: .bf16),
      "float32": SDNQType(bits: 32, isUnsigned: false, storage: .f32),
    ]
    for bits in 2..<8 {
      let values = (0..<1 << bits).map(Float.init)
      types["uint\(bits)"] = SDNQType(
        bits: bits, isUnsigned: true, storage: .u8, values: values)
      types["int\(bits)"] = SDNQType(
        bits: bits, isUnsigned: false, storage: .u8,
        values: values.map { $0 - values[1 << (bits - 1)] })
    }
    for bits in 2...8 {
      for exponent in 1...5 {
        for isUnsigned in [false, true] {
          let mantissa = bits - exponent - (isUnsigned ? 0 : 1)
          guard mantissa >= 0 else { continue }
          let name = "float\(bits)_e\(exponent)m\(mantissa)fn" + (isUnsigned ? "u" : "")
          // PyTorch has a type of that name.
          types[types[name] == nil ? name : name + "_sdnq"] = SDNQType(
            bits: bits, isUnsigned: isUnsigned, storage: .u8,
            values: floats(exponent: exponent, mantissa: mantissa, isUnsigned: isUnsigned))
        }
      }
    }
    return types
  }()

  /// The numbers that all codes of a float stand for.
  private static func floats(exponent: Int, mantissa: Int, isUnsigned: Bool) -> [Float] {
    let bias = (1 << (exponent - 1)) - 1
    let step = Float(sign: .plus, exponent: -mantissa, significand: 1)
    let magnitudes = (0..<1 << (exponent + mantissa)).map { code in
      let fraction = Float(code & ((1 << mantissa) - 1)) * step
      let power = code >> mantissa
      return Float(
        sign: .plus, exponent: max(power, 1) - bias,
        significand: power == 0 ? fraction : 1 + fraction)
    }
    return isUnsigned ? magnitudes : magnitudes + magnitudes.map { -$0 }
  }

  // MARK: - Codes

  /// The number of codes in that many bytes of a packed type; `nil` where codes do not fill them.
  func codeCount(bytes: Int) -> Int? {
    let group = Self.places(bits)
    let size = group.count * bits / 8
    return bytes % size == 0 ? bytes / size * group.count : nil
  }

  /// The codes of a type of up to 8 bits.
  func codes(_ bytes: [UInt8]) -> [UInt8] {
    if !isPacked { return bytes }
    let group = Self.places(bits)
    let size = group.count * bits / 8
    var codes: [UInt8] = []
    codes.reserveCapacity(bytes.count / size * group.count)
    for start in stride(from: 0, to: bytes.count - size + 1, by: size) {
      for places in group {
        var code: UInt8 = 0
        for (bit, place) in places.enumerated() {
          code |= (bytes[start + place / 8] >> UInt8(place % 8) & 1) << UInt8(bit)
        }
        codes.append(code)
      }
    }
    return codes
  }

  /// Where the bits of a group of codes are, from the lowest bit of each: 8 times a byte plus a bit.
  ///
  /// Codes of 1, 2 and 4 bits follow each other. In a group of others, the first codes are in the
  /// low bits of a byte each, and the last codes in the bits that are left.
  private static func places(_ bits: Int) -> [[Int]] {
    func low(_ count: Int) -> [[Int]] {
      (0..<count).map { byte in (0..<bits).map { 8 * byte + $0 } }
    }
    return switch bits {
    case 3:
      low(3) + (0..<3).map { byte in (3..<6).map { 8 * byte + $0 } } + [[6, 7, 22], [14, 15, 23]]
    case 5: low(5) + [[5, 6, 7, 29, 30], [13, 14, 15, 37, 38], [21, 22, 23, 39, 31]]
    case 6: low(3) + [[22, 23, 14, 15, 6, 7]]
    case 7: low(7) + [[55, 47, 39, 31, 23, 15, 7]]
    default: (0..<8 / bits).map { code in (0..<bits).map { code * bits + $0 } }
    }
  }
}
