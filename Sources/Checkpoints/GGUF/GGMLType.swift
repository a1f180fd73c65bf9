import Support
import Tensors

/// A tensor type of ggml: plain numbers, or blocks of codes with scales.
struct GGMLType: Sendable {
  /// How tensors of a type are read.
  enum Reading: Sendable {
    /// Plain numbers, unchanged.
    case plain(ElementKind)
    /// Blocks of 32 codes with a float16 scale. An encoding of Decant holds them bit for bit.
    case codes(bits: Int)
    /// Dequantized to float32 with the arithmetic of gguf-py.
    case widened(@Sendable ([UInt8], Int, inout [Float]) -> Void)
  }

  let id: UInt32
  let name: String
  /// Numbers in a block.
  let blockSize: Int
  /// Bytes in a block.
  let blockBytes: Int
  let reading: Reading

  static let all: [GGMLType] = [
    GGMLType(id: 0, name: "F32", blockSize: 1, blockBytes: 4, reading: .plain(.f32)),
    GGMLType(id: 1, name: "F16", blockSize: 1, blockBytes: 2, reading: .plain(.f16)),
    GGMLType(id: 2, name: "Q4_0", blockSize: 32, blockBytes: 18, reading: .codes(bits: 4)),
    GGMLType(id: 3, name: "Q4_1", blockSize: 32, blockBytes: 20, reading: .widened(widenQ41)),
    GGMLType(id: 6, name: "Q5_0", blockSize: 32, blockBytes: 22, reading: .widened(widenQ50)),
    GGMLType(id: 7, name: "Q5_1", blockSize: 32, blockBytes: 24, reading: .widened(widenQ51)),
    GGMLType(id: 8, name: "Q8_0", blockSize: 32, blockBytes: 34, reading: .codes(bits: 8)),
    GGMLType(id: 10, name: "Q2_K", blockSize: 256, blockBytes: 84, reading: .widened(widenQ2K)),
    GGMLType(id: 11, name: "Q3_K", blockSize: 256, blockBytes: 110, reading: .widened(widenQ3K)),
    GGMLType(id: 12, name: "Q4_K", blockSize: 256, blockBytes: 144, reading: .widened(widenQ4K)),
    GGMLType(id: 13, name: "Q5_K", blockSize: 256, blockBytes: 176, reading: .widened(widenQ5K)),
    GGMLType(id: 14, name: "Q6_K", blockSize: 256, blockBytes: 210, reading: .widened(widenQ6K)),
    GGMLType(id: 24, name: "I8", blockSize: 1, blockBytes: 1, reading: .plain(.i8)),
    GGMLType(id: 25, name: "I16", blockSize: 1, blockBytes: 2, reading: .plain(.i16)),
    GGMLType(id: 26, name: "I32", blockSize: 1, blockBytes: 4, reading: .plain(.i32)),
    GGMLType(id: 27, name: "I64", blockSize: 1, blockBytes: 8, reading: .plain(.i64)),
    GGMLType(id: 28, name: "F64", blockSize: 1, blockBytes: 8, reading: .plain(.f64)),
    GGMLType(id: 30, name: "BF16", blockSize: 1, blockBytes: 2, reading: .plain(.bf16)),
  ]

  /// The type that stores an encoding; `nil` where there is none.
  static func storing(_ encoding: TensorEncoding) -> GGMLType? {
    all.first { $0.encoding == encoding }
  }

  /// The encoding that weights get which are to be stored as `encoding`: 8-bit codes become Q8_0
  /// and 4-bit codes Q4_0, with a scale for each 32 of them. `nil` where there is no near type.
  static func nearest(to encoding: TensorEncoding) -> TensorEncoding? {
    if encoding == .int8 { return .symmetric(bits: 8, groupSize: 32) }
    return storing(encoding) == nil ? nil : encoding
  }

  /// The encoding that holds the type bit for bit; `nil` where there is none.
  private var encoding: TensorEncoding? {
    switch reading {
    case .plain(let kind): .plain(kind)
    case .codes(let bits): .symmetric(bits: bits, groupSize: 32)
    case .widened: nil
    }
  }

  /// The encoding in which a tensor of this type and shape is read. Codes stay codes where each row
  /// is a whole number of blocks; else they become float32.
  func encoding(for shape: Shape) -> TensorEncoding {
    if case .codes = reading, shape.rank < 2 || shape.rowLength % blockSize != 0 {
      return .plain(.f32)
    }
    return encoding ?? .plain(.f32)
  }

  // MARK: - Between blocks and parts

  /// The parts of a tensor from its bytes in a file.
  func parts(_ bytes: ByteSlice, shape: Shape) -> [ByteSlice] {
    switch reading {
    case .plain: return [bytes]
    case .codes(let bits):
      let blocks = bytes.array
      let split = Self.split(blocks, bits: bits, blockBytes: blockBytes)
      if encoding(for: shape).isQuantized {
        let codes = bits == 8 ? split.codes : Self.paired(split.codes)
        return [ByteSlice(codes), ByteSlice(split.scales)]
      }
      var numbers: [Float] = []
      numbers.reserveCapacity(shape.count)
      for (index, code) in split.codes.enumerated() {
        let scale = half(split.scales, index / blockSize * 2)
        numbers.append(scale * Float(Int8(bitPattern: code)))
      }
      return [ByteSlice(numbers)]
    case .widened(let widen):
      let blocks = bytes.array
      var numbers: [Float] = []
      numbers.reserveCapacity(shape.count)
      for start in stride(from: 0, to: blocks.count, by: blockBytes) {
        widen(blocks, start, &numbers)
      }
      return [ByteSlice(numbers)]
    }
  }

  /// Codes with one byte each, and float16 scales.
  private static func split(
    _ blocks: [UInt8], bits: Int, blockBytes: Int
  ) -> (codes: [UInt8], scales: [UInt8]) {
    let count = blocks.count / blockBytes
    var codes = [UInt8](repeating: 0, count: count * 32)
    var scales = [UInt8](repeating: 0, count: count * 2)
    for block in 0..<count {
      let start = block * blockBytes
      scales[block * 2] = blocks[start]
      scales[block * 2 + 1] = blocks[start + 1]
      if bits == 8 {
        for index in 0..<32 { codes[block * 32 + index] = blocks[start + 2 + index] }
      } else {
        // The low nibbles are the first half of the block. Codes have an offset of 8.
        for index in 0..<16 {
          let byte = blocks[start + 2 + index]
          codes[block * 32 + index] = (byte & 15) &- 8
          codes[block * 32 + 16 + index] = (byte >> 4) &- 8
        }
      }
    }
    return (codes, scales)
  }

  /// Packs two codes in a byte, the first in the low nibble.
  private static func paired(_ codes: [UInt8]) -> [UInt8] {
    (0..<codes.count / 2).map { codes[2 * $0] & 15 | codes[2 * $0 + 1] << 4 }
  }

  /// The bytes of a tensor in a file.
  func bytes(of tensor: StoredTensor) -> ByteSlice {
    guard case .codes(let bits) = reading else { return tensor.parts[0] }
    let (codes, scales) = (tensor.parts[0].array, tensor.parts[1].array)
    let count = scales.count / 2
    var blocks = [UInt8](repeating: 0, count: count * blockBytes)
    for block in 0..<count {
      let start = block * blockBytes
      blocks[start] = scales[block * 2]
      blocks[start + 1] = scales[block * 2 + 1]
      if bits == 8 {
        for index in 0..<32 { blocks[start + 2 + index] = codes[block * 32 + index] }
      } else {
        func code(_ index: Int) -> UInt8 {
          let byte = codes[block * 16 + index / 2]
          return ((index % 2 == 0 ? byte & 15 : byte >> 4) &+ 8) & 15
        }
        for index in 0..<16 { blocks[start + 2 + index] = code(index) | code(index + 16) << 4 }
      }
    }
    return ByteSlice(blocks)
  }
}

/// The float16 at a place, widened.
func half(_ bytes: [UInt8], _ at: Int) -> Float {
  Float(Float16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
}
