import Tensors

/// CRC-32 as ZIP has it (IEEE 802.3, reflected), by table: for records of some kilobytes.
func zipChecksum(of slice: ByteSlice) -> UInt32 {
  var table: [UInt32] = []
  for index in 0..<256 {
    var value = UInt32(index)
    for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : (value >> 1) ^ 0xedb8_8320 }
    table.append(value)
  }
  var crc = UInt32.max
  for byte in slice.array { crc = (crc >> 8) ^ table[Int((crc ^ UInt32(byte)) & 0xff)] }
  return ~crc
}
