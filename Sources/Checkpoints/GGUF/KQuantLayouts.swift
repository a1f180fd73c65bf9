import Tensors

/// Q4_K and Q5_K: a float16 scale and minimum, the scales and minimums of 8 groups in 6 bits each, for
/// Q5_K the fifth bits of 256 codes, then their low bits. Codes have no offset.
struct AffineKLayout: GGMLBlockLayout {
  /// 4 or 5.
  let bits: Int

  var encoding: TensorEncoding { .codes(.kQuant(bits: bits)) }

  private var offset: Int16 { 1 << Int16(bits - 1) }
  /// The place of the low bits.
  private var lowBits: Int { bits == 5 ? 48 : 16 }

  func read(
    _ blocks: [UInt8], _ start: Int, codes: inout [Int16], numbers: inout [[UInt8]]
  ) {
    for index in 0..<256 {
      var code = blocks[start + lowBits + lowPlace(index)] >> lowShift(index) & 15
      if bits == 5 { code |= (blocks[start + 16 + index % 32] >> UInt8(index / 32) & 1) << 4 }
      codes.append(Int16(code) - offset)
    }
    numbers[0] += blocks[start..<start + 2]
    numbers[2] += blocks[start + 2..<start + 4]
    for group in 0..<8 {
      let place = start + 4 + group % 4
      let (first, second, both) = (blocks[place], blocks[place + 4], blocks[place + 8])
      numbers[1].append(group < 4 ? first & 63 : both & 15 | first >> 2 & 48)
      numbers[3].append(group < 4 ? second & 63 : both >> 4 | second >> 2 & 48)
    }
  }

  func write(
    _ codes: [Int16], first: Int, numbers: [[UInt8]], block: Int, into blocks: inout [UInt8],
    _ start: Int
  ) {
    for byte in 0..<2 {
      blocks[start + byte] = numbers[0][block * 2 + byte]
      blocks[start + 2 + byte] = numbers[2][block * 2 + byte]
    }
    for group in 0..<4 {
      let place = start + 4 + group
      let (own, low) = (numbers[1][block * 8 + group], numbers[3][block * 8 + group])
      let (later, lowLater) = (numbers[1][block * 8 + group + 4], numbers[3][block * 8 + group + 4])
      blocks[place] = own | (later >> 4) << 6
      blocks[place + 4] = low | (lowLater >> 4) << 6
      blocks[place + 8] = later & 15 | lowLater << 4
    }
    for index in 0..<256 {
      let code = UInt8(truncatingIfNeeded: codes[first + index] + offset)
      blocks[start + lowBits + lowPlace(index)] |= (code & 15) << lowShift(index)
      if bits == 5 { blocks[start + 16 + index % 32] |= (code >> 4) << UInt8(index / 32) }
    }
  }

  func fault(in numbers: [[UInt8]]) -> (found: String, expected: String)? {
    guard let largest = (numbers[1] + numbers[3]).max(), largest > 63 else { return nil }
    return ("has a group scale or minimum of \(largest)", "at most 63")
  }

  /// Two rows of 32 codes share 32 bytes.
  private func lowPlace(_ index: Int) -> Int { index / 64 * 32 + index % 32 }
  private func lowShift(_ index: Int) -> UInt8 { UInt8(4 * (index / 32 % 2)) }
}

/// Q6_K: the low 4 bits of 256 codes with an offset of 32, their high 2 bits, 16 group scales of one
/// byte, and a float16 scale.
struct Q6KLayout: GGMLBlockLayout {
  let encoding = TensorEncoding.codes(.q6K)

  func read(
    _ blocks: [UInt8], _ start: Int, codes: inout [Int16], numbers: inout [[UInt8]]
  ) {
    for index in 0..<256 {
      let low = blocks[start + lowPlace(index)] >> lowShift(index) & 15
      let high = blocks[start + highPlace(index)] >> highShift(index) & 3
      codes.append(Int16(low | high << 4) - 32)
    }
    numbers[0] += blocks[start + 208..<start + 210]
    numbers[1] += blocks[start + 192..<start + 208]
  }

  func write(
    _ codes: [Int16], first: Int, numbers: [[UInt8]], block: Int, into blocks: inout [UInt8],
    _ start: Int
  ) {
    for index in 0..<256 {
      let code = UInt8(truncatingIfNeeded: codes[first + index] + 32)
      blocks[start + lowPlace(index)] |= (code & 15) << lowShift(index)
      blocks[start + highPlace(index)] |= (code >> 4 & 3) << highShift(index)
    }
    for group in 0..<16 { blocks[start + 192 + group] = numbers[1][block * 16 + group] }
    for byte in 0..<2 { blocks[start + 208 + byte] = numbers[0][block * 2 + byte] }
  }

  /// Of 128 codes, the low bits of those in two rows of 32 that are 64 apart share 32 bytes.
  private func lowPlace(_ index: Int) -> Int { index / 128 * 64 + index % 64 }
  private func lowShift(_ index: Int) -> UInt8 { UInt8(index / 64 % 2 * 4) }
  /// The high bits of four rows of 32 share 32 bytes.
  private func highPlace(_ index: Int) -> Int { 128 + index / 128 * 32 + index % 32 }
  private func highShift(_ index: Int) -> UInt8 { UInt8(index / 32 % 4 * 2) }
}
