import Support
import Testing

struct ChecksumTests {
  /// The check values of the algorithms' authors, for "" and "foobar" (FNV-1a), and of CRC-32.
  @Test func hashesArePublished() {
    #expect(fnv1a("".utf8) == 0xcbf2_9ce4_8422_2325)
    #expect(fnv1a("foobar".utf8) == 0x8594_4171_f739_67e8)
    #expect(crc32(of: [UInt8]("123456789".utf8)) == 0xcbf4_3926)
  }

  @Test func integersAreAppendedFromTheLeastSignificantByte() {
    var bytes: [UInt8] = [9]
    bytes.appendLittleEndian(UInt32(0x0102_0304))
    bytes.appendLittleEndian(Int16(-2))
    #expect(bytes == [9, 4, 3, 2, 1, 0xfe, 0xff])
    #expect([UInt8](littleEndian: UInt64(258)) == [2, 1, 0, 0, 0, 0, 0, 0])
  }
}
