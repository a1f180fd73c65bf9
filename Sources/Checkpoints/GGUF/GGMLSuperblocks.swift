// ggml's K-quants: blocks of 256 numbers in groups of 16 or 32, with quantized scales. The
// arithmetic is that of gguf-py, in float32 and in the same order.

func widenQ2K(_ blocks: [UInt8], _ start: Int, _ numbers: inout [Float]) {
  let (scale, least) = (half(blocks, start + 80), half(blocks, start + 82))
  for index in 0..<256 {
    let group = blocks[start + index / 16]
    let code = twoBits(blocks, start + 16, index)
    numbers.append(scale * Float(group & 15) * Float(code) - least * Float(group >> 4))
  }
}

func widenQ3K(_ blocks: [UInt8], _ start: Int, _ numbers: inout [Float]) {
  let scale = half(blocks, start + 108)
  let scales = (0..<16).map { group -> Float in
    let low = blocks[start + 96 + group % 8] >> UInt8(4 * (group / 8)) & 15
    let high = blocks[start + 104 + group % 4] >> UInt8(2 * (group / 4)) & 3
    return scale * Float(Int(low | high << 4) - 32)
  }
  for index in 0..<256 {
    let isPlain = blocks[start + index % 32] >> UInt8(index / 32) & 1 == 1
    let code = Int(twoBits(blocks, start + 32, index)) - (isPlain ? 0 : 4)
    numbers.append(scales[index / 16] * Float(code))
  }
}

func widenQ4K(_ blocks: [UInt8], _ start: Int, _ numbers: inout [Float]) {
  let groups = sixBitGroups(blocks, start)
  for index in 0..<256 {
    let code = fourBits(blocks, start + 16, index)
    let (scale, least) = groups[index / 32]
    numbers.append(scale * Float(code) - least)
  }
}

func widenQ5K(_ blocks: [UInt8], _ start: Int, _ numbers: inout [Float]) {
  let groups = sixBitGroups(blocks, start)
  for index in 0..<256 {
    let high = blocks[start + 16 + index % 32] >> UInt8(index / 32) & 1
    let code = fourBits(blocks, start + 48, index) | high << 4
    let (scale, least) = groups[index / 32]
    numbers.append(scale * Float(code) - least)
  }
}

func widenQ6K(_ blocks: [UInt8], _ start: Int, _ numbers: inout [Float]) {
  let scale = half(blocks, start + 208)
  for index in 0..<256 {
    let part = index / 32
    let (side, row) = (part / 4, part % 4)
    let low = blocks[start + side * 64 + row % 2 * 32 + index % 32] >> UInt8(row / 2 * 4) & 15
    let high = blocks[start + 128 + side * 32 + index % 32] >> UInt8(2 * row) & 3
    let group = Int8(bitPattern: blocks[start + 192 + index / 16])
    numbers.append(scale * Float(group) * Float(Int(low | high << 4) - 32))
  }
}

/// The scales and minimums of eight groups, stored with 6 bits each, times those of the block.
private func sixBitGroups(_ blocks: [UInt8], _ start: Int) -> [(scale: Float, least: Float)] {
  let (scale, least) = (half(blocks, start), half(blocks, start + 2))
  return (0..<8).map { group in
    let place = start + 4 + group % 4
    let (first, second, both) = (blocks[place], blocks[place + 4], blocks[place + 8])
    let (own, low) =
      group < 4
      ? (first & 63, second & 63)
      : (both & 15 | first >> 2 & 48, both >> 4 | second >> 2 & 48)
    return (scale * Float(own), least * Float(low))
  }
}

/// Four rows of 32 codes of 2 bits, in 32 bytes.
private func twoBits(_ blocks: [UInt8], _ start: Int, _ index: Int) -> UInt8 {
  let part = index / 32
  return blocks[start + part / 4 * 32 + index % 32] >> UInt8(2 * (part % 4)) & 3
}

/// Two rows of 32 codes of 4 bits, in 32 bytes.
private func fourBits(_ blocks: [UInt8], _ start: Int, _ index: Int) -> UInt8 {
  let part = index / 32
  return blocks[start + part / 2 * 32 + index % 32] >> UInt8(4 * (part % 2)) & 15
}
