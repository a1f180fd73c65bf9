import Packfiles
import Support
import Testing

/// Headers and footers with valid checksums and invalid fields.
@Suite struct HostileFrameTests {
  struct Change: Sendable, CustomTestStringConvertible {
    let offset: Int
    let bytes: [UInt8]
    let message: String
    var testDescription: String { message }
  }

  static let ones = [UInt8](repeating: 255, count: 8)

  static let headers = [
    Change(
      offset: 8, bytes: [2, 0, 0, 0], message: "is a .decant file of version 2, expected version 1"),
    Change(
      offset: 8, bytes: [0, 0, 0, 0], message: "is a .decant file of version 0, expected version 1"),
    Change(offset: 59, bytes: [1], message: "byte range 12-59 of the header is not zero"),
  ]

  @Test(arguments: headers) func headerIsRefused(change: Change) throws {
    var bytes = try HostileFile().bytes.array
    bytes.replace(change, blockAt: 0, size: 64)
    try expectRefusal(bytes, change.message)
  }

  static let footers = [
    Change(
      offset: 8, bytes: [9, 0, 0, 0], message: "is a .decant file of version 9, expected version 1"),
    Change(offset: 12, bytes: [1], message: "byte range 12-15 of the footer is not zero"),
    Change(offset: 91, bytes: [1], message: "byte range 72-91 of the footer is not zero"),
    Change(offset: 16, bytes: ones, message: "its footer puts a manifest of"),
    Change(offset: 16, bytes: [0, 0], message: "its footer puts a manifest of"),
    Change(
      offset: 24, bytes: ones, message: "has 18446744073709551615 bytes, expected at most 16777216"),
    Change(offset: 24, bytes: [0, 0, 0], message: "its footer puts a manifest of 0 bytes"),
    Change(offset: 32, bytes: ones, message: "its footer says 18446744073709551615"),
    Change(offset: 40, bytes: [0, 0], message: "does not match the SHA-256 in the footer"),
  ]

  @Test(arguments: footers) func footerIsRefused(change: Change) throws {
    var bytes = try HostileFile().bytes.array
    bytes.replace(change, blockAt: bytes.count - 96, size: 96)
    try expectRefusal(bytes, change.message)
  }

  private func expectRefusal(_ bytes: [UInt8], _ message: String) throws {
    let error = #expect(throws: PackfileError.self) {
      try PackfileReader(contents: ByteSlice(bytes), location: "x")
    }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }
}

extension [UInt8] {
  /// Changes bytes of a header or footer and updates its checksum.
  fileprivate mutating func replace(
    _ change: HostileFrameTests.Change, blockAt start: Int, size: Int
  ) {
    replaceSubrange(
      start + change.offset..<start + change.offset + change.bytes.count, with: change.bytes)
    let crc = crc32(of: Array(self[start..<start + size - 4]))
    for byte in 0..<4 { self[start + size - 4 + byte] = UInt8(crc >> UInt32(8 * byte) & 255) }
  }
}
