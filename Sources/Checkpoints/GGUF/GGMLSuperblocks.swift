// ggml's K-quants of 2 and 3 bits: blocks of 256 numbers in groups of 16, with quantized scales. The
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

/// Four rows of 32 codes of 2 bits, in 32 bytes.
private func twoBits(_ blocks: [UInt8], _ start: Int, _ index: Int) -> UInt8 {
  let part = index / 32
  return blocks[start + part / 4 * 32 + index % 32] >> UInt8(2 * (part % 4)) & 3
}
