import Tensors

/// The layout of a block of ggml whose numbers an encoding of Decant holds bit for bit: codes, and
/// the numbers of the encoding's other parts.
///
/// A layout is one type, and the ``GGMLType/reading`` of its line in ``GGMLType/all``.
protocol GGMLBlockLayout: Sendable {
  var encoding: TensorEncoding { get }

  /// Appends the codes of the block at `start`, and the bytes of its numbers to those of each part
  /// after the codes.
  func read(
    _ blocks: [UInt8], _ start: Int, codes: inout [Int16], numbers: inout [[UInt8]])

  /// Writes the block at `start`; the inverse of ``read(_:_:codes:numbers:)``.
  ///
  /// - Parameters:
  ///   - codes: codes, those of the block from `first` on.
  ///   - numbers: the parts after the codes, with the numbers of all blocks.
  ///   - block: the number of the block in the tensor.
  func write(
    _ codes: [Int16], first: Int, numbers: [[UInt8]], block: Int, into blocks: inout [UInt8],
    _ start: Int)

  /// What no block can hold of the numbers of a tensor; `nil` where blocks hold them.
  ///
  /// - Parameter numbers: the parts after the codes.
  func fault(in numbers: [[UInt8]]) -> (found: String, expected: String)?
}

extension GGMLBlockLayout {
  func fault(in numbers: [[UInt8]]) -> (found: String, expected: String)? { nil }
}

/// A float16 scale, then 32 codes of one byte.
struct Q80Layout: GGMLBlockLayout {
  let encoding = TensorEncoding.symmetric(bits: 8, groupSize: 32)

  func read(
    _ blocks: [UInt8], _ start: Int, codes: inout [Int16], numbers: inout [[UInt8]]
  ) {
    numbers[0].append(blocks[start])
    numbers[0].append(blocks[start + 1])
    for index in 0..<32 { codes.append(Int16(Int8(bitPattern: blocks[start + 2 + index]))) }
  }

  func write(
    _ codes: [Int16], first: Int, numbers: [[UInt8]], block: Int, into blocks: inout [UInt8],
    _ start: Int
  ) {
    blocks[start] = numbers[0][block * 2]
    blocks[start + 1] = numbers[0][block * 2 + 1]
    for index in 0..<32 {
      blocks[start + 2 + index] = UInt8(truncatingIfNeeded: codes[first + index])
    }
  }
}

/// A float16 scale, then 32 codes of 4 bits with an offset of 8. The low nibbles are the first half
/// of the block.
struct Q40Layout: GGMLBlockLayout {
  let encoding = TensorEncoding.symmetric(bits: 4, groupSize: 32)

  func read(
    _ blocks: [UInt8], _ start: Int, codes: inout [Int16], numbers: inout [[UInt8]]
  ) {
    numbers[0].append(blocks[start])
    numbers[0].append(blocks[start + 1])
    for index in 0..<16 { codes.append(Int16(blocks[start + 2 + index] & 15) - 8) }
    for index in 0..<16 { codes.append(Int16(blocks[start + 2 + index] >> 4) - 8) }
  }

  func write(
    _ codes: [Int16], first: Int, numbers: [[UInt8]], block: Int, into blocks: inout [UInt8],
    _ start: Int
  ) {
    blocks[start] = numbers[0][block * 2]
    blocks[start + 1] = numbers[0][block * 2 + 1]
    func nibble(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: codes[first + index] + 8) & 15 }
    for index in 0..<16 { blocks[start + 2 + index] = nibble(index) | nibble(index + 16) << 4 }
  }
}

/// A float16 scale, the fifth bits of 32 codes with an offset of 16, then their low bits as in
/// ``Q40Layout``.
struct Q50Layout: GGMLBlockLayout {
  let encoding = TensorEncoding.symmetric(bits: 5, groupSize: 32)

  func read(
    _ blocks: [UInt8], _ start: Int, codes: inout [Int16], numbers: inout [[UInt8]]
  ) {
    numbers[0].append(blocks[start])
    numbers[0].append(blocks[start + 1])
    for index in 0..<32 {
      let code = nibble(blocks, start + 6, index) | fifthBit(blocks, start + 2, index) << 4
      codes.append(Int16(code) - 16)
    }
  }

  func write(
    _ codes: [Int16], first: Int, numbers: [[UInt8]], block: Int, into blocks: inout [UInt8],
    _ start: Int
  ) {
    blocks[start] = numbers[0][block * 2]
    blocks[start + 1] = numbers[0][block * 2 + 1]
    for index in 0..<32 {
      let code = UInt8(truncatingIfNeeded: codes[first + index] + 16)
      blocks[start + 2 + index / 8] |= (code >> 4 & 1) << UInt8(index % 8)
      blocks[start + 6 + index % 16] |= (code & 15) << (index < 16 ? 0 : 4)
    }
  }
}
