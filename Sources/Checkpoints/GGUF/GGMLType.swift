import Support
import Tensors

/// A tensor type of ggml: plain numbers, or blocks of codes with scales.
struct GGMLType: Sendable {
  /// How tensors of a type are read.
  enum Reading: Sendable {
    /// Plain numbers, unchanged.
    case plain(ElementKind)
    /// Blocks of codes with scales. An encoding of Decant holds them bit for bit.
    case blocks(any GGMLBlockLayout)
    /// Dequantized to float32 with the arithmetic of gguf-py.
    case widened(@Sendable ([UInt8], Int, inout [Float]) -> Void)
  }

  let id: UInt32
  let name: String
  /// llama.cpp's number for a file whose tensors are mostly of this type; `nil` for types that
  /// Decant does not write, and for those without a number.
  var fileType: UInt32?
  /// Numbers in a block.
  let blockSize: Int
  /// Bytes in a block.
  let blockBytes: Int
  let reading: Reading

  static let all: [GGMLType] = [
    GGMLType(
      id: 0, name: "F32", fileType: 0, blockSize: 1, blockBytes: 4, reading: .plain(.f32)),
    GGMLType(
      id: 1, name: "F16", fileType: 1, blockSize: 1, blockBytes: 2, reading: .plain(.f16)),
    GGMLType(
      id: 2, name: "Q4_0", fileType: 2, blockSize: 32, blockBytes: 18, reading: .blocks(Q40Layout())
    ),
    GGMLType(id: 3, name: "Q4_1", blockSize: 32, blockBytes: 20, reading: .widened(widenQ41)),
    GGMLType(
      id: 6, name: "Q5_0", fileType: 8, blockSize: 32, blockBytes: 22, reading: .blocks(Q50Layout())
    ),
    GGMLType(id: 7, name: "Q5_1", blockSize: 32, blockBytes: 24, reading: .widened(widenQ51)),
    GGMLType(
      id: 8, name: "Q8_0", fileType: 7, blockSize: 32, blockBytes: 34, reading: .blocks(Q80Layout())
    ),
    GGMLType(id: 10, name: "Q2_K", blockSize: 256, blockBytes: 84, reading: .widened(widenQ2K)),
    GGMLType(id: 11, name: "Q3_K", blockSize: 256, blockBytes: 110, reading: .widened(widenQ3K)),
    GGMLType(
      id: 12, name: "Q4_K", fileType: 14, blockSize: 256, blockBytes: 144,
      reading: .blocks(AffineKLayout(bits: 4))),
    GGMLType(
      id: 13, name: "Q5_K", fileType: 16, blockSize: 256, blockBytes: 176,
      reading: .blocks(AffineKLayout(bits: 5))),
    GGMLType(
      id: 14, name: "Q6_K", fileType: 18, blockSize: 256, blockBytes: 210,
      reading: .blocks(Q6KLayout())),
    GGMLType(id: 24, name: "I8", blockSize: 1, blockBytes: 1, reading: .plain(.i8)),
    GGMLType(id: 25, name: "I16", blockSize: 1, blockBytes: 2, reading: .plain(.i16)),
    GGMLType(id: 26, name: "I32", blockSize: 1, blockBytes: 4, reading: .plain(.i32)),
    GGMLType(id: 27, name: "I64", blockSize: 1, blockBytes: 8, reading: .plain(.i64)),
    GGMLType(id: 28, name: "F64", blockSize: 1, blockBytes: 8, reading: .plain(.f64)),
    GGMLType(
      id: 30, name: "BF16", fileType: 32, blockSize: 1, blockBytes: 2, reading: .plain(.bf16)),
  ]

  /// The type that stores an encoding; `nil` where there is none.
  static func storing(_ encoding: TensorEncoding) -> GGMLType? {
    all.first { $0.encoding == encoding }
  }

  /// Whether a type stores the encoding of a tensor, and the tensor's rows are whole blocks.
  static func storesRows(of entry: TensorEntry) -> Bool {
    storing(entry.encoding)?.dividesRows(of: entry.shape) == true
  }

  /// Whether each row of the shape is a whole number of blocks.
  func dividesRows(of shape: Shape) -> Bool { shape.rowLength % blockSize == 0 }

  /// The encoding of weights that a plan stores as `encoding`: the same where a type has it. For
  /// int8 it is that of Q8_0, which has a scale for each 32 codes. `nil` where no type is near.
  static func nearest(to encoding: TensorEncoding) -> TensorEncoding? {
    if encoding == .int8 { return Q80Layout().encoding }
    return storing(encoding) == nil ? nil : encoding
  }

  /// The encoding that holds the type bit for bit; `nil` where there is none.
  private var encoding: TensorEncoding? {
    switch reading {
    case .plain(let kind): .plain(kind)
    case .blocks(let layout): layout.encoding
    case .widened: nil
    }
  }

  /// The encoding in which a tensor of this type and shape is read. Codes stay codes where each row
  /// is a whole number of blocks; else they become float32.
  func encoding(for shape: Shape) -> TensorEncoding {
    if case .blocks = reading, shape.rank < 2 || !dividesRows(of: shape) {
      return .plain(.f32)
    }
    return encoding ?? .plain(.f32)
  }

  // MARK: - Between blocks and parts

  /// The parts of a tensor from its bytes in a file.
  func parts(_ bytes: ByteSlice, shape: Shape) -> [ByteSlice] {
    switch reading {
    case .plain: return [bytes]
    case .blocks(let layout):
      if encoding(for: shape).isQuantized { return codeParts(bytes, shape: shape, layout) }
      let rows: Shape = [bytes.count / blockBytes, blockSize]
      let tensor = StoredTensor(
        shape: rows, encoding: layout.encoding, parts: codeParts(bytes, shape: rows, layout))
      return [ByteSlice(tensor.floats())]
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

  /// The parts of the layout's encoding. Rows of `shape` are whole numbers of blocks.
  private func codeParts(
    _ bytes: ByteSlice, shape: Shape, _ layout: any GGMLBlockLayout
  ) -> [ByteSlice] {
    let blocks = bytes.array
    let blocksOfRow = shape.rowLength / blockSize
    var numbers = [[UInt8]](
      repeating: [], count: layout.encoding.codeFormat?.factors.count ?? 0)
    let codes = layout.encoding.packed(for: shape) { row in
      var codes: [Int16] = []
      codes.reserveCapacity(shape.rowLength)
      for block in row * blocksOfRow..<(row + 1) * blocksOfRow {
        layout.read(blocks, block * blockBytes, codes: &codes, numbers: &numbers)
      }
      return codes
    }
    return codes + numbers.map { ByteSlice($0) }
  }

  /// The parts after the codes.
  private static func numbers(of tensor: StoredTensor) -> [[UInt8]] {
    tensor.parts.dropFirst(tensor.encoding.codeFormat?.codePartCount ?? 1).map(\.array)
  }

  /// What the type cannot hold of a tensor in its encoding; `nil` where it holds the tensor.
  func fault(in tensor: StoredTensor) -> (found: String, expected: String)? {
    guard case .blocks(let layout) = reading else { return nil }
    return layout.fault(in: Self.numbers(of: tensor))
  }

  /// The bytes of a tensor in a file.
  func bytes(of tensor: StoredTensor) -> ByteSlice {
    guard case .blocks(let layout) = reading else { return tensor.parts[0] }
    let numbers = Self.numbers(of: tensor)
    let shape = tensor.shape
    let blocksOfRow = shape.rowLength / blockSize
    var blocks = [UInt8](repeating: 0, count: shape.count / blockSize * blockBytes)
    for row in 0..<(shape.count == 0 ? 0 : shape.rows) {
      let codes = tensor.codes(row: row)
      for index in 0..<blocksOfRow {
        let block = row * blocksOfRow + index
        layout.write(
          codes, first: index * blockSize, numbers: numbers, block: block, into: &blocks,
          block * blockBytes)
      }
    }
    return ByteSlice(blocks)
  }
}

/// The float16 at a place, widened.
func half(_ bytes: [UInt8], _ at: Int) -> Float {
  Float(Float16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
}
