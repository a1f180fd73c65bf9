// Blocks of 32 numbers with codes of 4 bits, the low nibbles first, or of 5 bits with the fifth
// bits stored separately. The arithmetic is that of gguf-py's `dequantize`, in float32 and in the
// same order, so that the numbers are bit-identical.

func widenQ41(_ blocks: [UInt8], _ start: Int, _ numbers: inout [Float]) {
  let (scale, least) = (half(blocks, start), half(blocks, start + 2))
  for index in 0..<32 {
    numbers.append(scale * Float(nibble(blocks, start + 4, index)) + least)
  }
}

func widenQ51(_ blocks: [UInt8], _ start: Int, _ numbers: inout [Float]) {
  let (scale, least) = (half(blocks, start), half(blocks, start + 2))
  for index in 0..<32 {
    let code = nibble(blocks, start + 8, index) | fifthBit(blocks, start + 4, index) << 4
    numbers.append(scale * Float(code) + least)
  }
}

func nibble(_ blocks: [UInt8], _ start: Int, _ index: Int) -> UInt8 {
  index < 16 ? blocks[start + index] & 15 : blocks[start + index - 16] >> 4
}

func fifthBit(_ blocks: [UInt8], _ start: Int, _ index: Int) -> UInt8 {
  blocks[start + index / 8] >> UInt8(index % 8) & 1
}
