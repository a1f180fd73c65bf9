private import Foundation
internal import Support

/// The header at the start of a `.decant` file, and the manifest and footer at its end.
package enum Frame {
  /// The first 64 bytes of every file.
  package static var header: [UInt8] {
    var bytes = Packfile.headerMagic
    bytes.appendLittleEndian(Packfile.version)
    bytes += [UInt8](repeating: 0, count: Packfile.headerSize - 4 - bytes.count)
    bytes.appendLittleEndian(crc32(of: bytes))
    return bytes
  }

  /// The last 96 bytes of a file with its manifest at `offset`.
  package static func footer(manifest: [UInt8], at offset: Int) -> [UInt8] {
    var bytes = Packfile.footerMagic
    bytes.appendLittleEndian(Packfile.version)
    bytes.appendLittleEndian(UInt32(0))
    bytes.appendLittleEndian(UInt64(offset))
    bytes.appendLittleEndian(UInt64(manifest.count))
    bytes.appendLittleEndian(UInt64(offset + manifest.count + Packfile.footerSize))
    bytes += digest(manifest)
    bytes += [UInt8](repeating: 0, count: Packfile.footerSize - 4 - bytes.count)
    bytes.appendLittleEndian(crc32(of: bytes))
    return bytes
  }

  /// The byte range of the manifest. Verifies header, footer and the manifest's digest.
  static func manifest(of contents: ByteSlice, _ location: String) throws(PackfileError)
    -> Range<Int>
  {
    try checkHeader(contents, location)
    let footerStart = contents.count - Packfile.footerSize
    let footer = contents[footerStart..<contents.count].array
    guard Packfile.ends(contents) else {
      throw PackfileError(location, .missingFooter(bytes: contents.count))
    }
    try checkBlock(footer, zeros: [12..<16, 72..<92], location, .damagedFooter)
    let length = footer.integer64(at: 32)
    if length != UInt64(contents.count) {
      throw PackfileError(location, .wrongLength(found: contents.count, expected: length))
    }
    let (offset, count) = (footer.integer64(at: 16), footer.integer64(at: 24))
    if count > Packfile.manifestLimit {
      throw PackfileError(location, .manifestTooLong(bytes: count))
    }
    // The first two conditions bound both numbers by the file's length, so nothing overflows.
    guard offset >= UInt64(Packfile.headerSize), offset <= UInt64(footerStart),
      offset + count == UInt64(footerStart), offset % UInt64(Packfile.alignment) == 0
    else {
      throw PackfileError(location, .manifestOutOfPlace(offset: offset, length: count))
    }
    let range = Int(offset)..<footerStart
    if digest(contents[range].array) != Array(footer[40..<72]) {
      throw PackfileError(location, .damagedManifest)
    }
    return range
  }

  private static func checkHeader(
    _ contents: ByteSlice, _ location: String
  ) throws(PackfileError) {
    guard Packfile.begins(contents) else {
      let first = contents[0..<min(8, contents.count)].array
      throw PackfileError(
        location, Packfile.ends(contents) ? .damagedHeader : .noPackfile(firstBytes: first))
    }
    guard contents.count >= Packfile.headerSize + Packfile.footerSize else {
      throw PackfileError(location, .tooShort(bytes: contents.count))
    }
    try checkBlock(
      contents[0..<Packfile.headerSize].array, zeros: [12..<60], location, .damagedHeader)
  }

  /// Checks the fields that header and footer share: CRC at the end, version at byte 8, zeros.
  private static func checkBlock(
    _ block: [UInt8], zeros: [Range<Int>], _ location: String, _ damage: PackfileError.Reason
  ) throws(PackfileError) {
    let end = block.count - 4
    guard crc32(of: Array(block[..<end])) == block.integer32(at: end) else {
      throw PackfileError(location, damage)
    }
    let version = block.integer32(at: 8)
    if version != Packfile.version { throw PackfileError(location, .unknownVersion(version)) }
    for range in zeros where block[range].contains(where: { $0 != 0 }) {
      throw PackfileError(
        location,
        .invalid(
          place: "byte range \(range.lowerBound)-\(range.upperBound - 1) of the "
            + (damage == .damagedHeader ? "header" : "footer"),
          found: "not zero", expected: "zero"))
    }
  }

  /// The SHA-256 digest.
  package static func digest(_ bytes: [UInt8]) -> [UInt8] { SHA256.digest(of: bytes) }
}

extension [UInt8] {
  /// The little-endian integer of four bytes at `offset`.
  func integer32(at offset: Int) -> UInt32 {
    self[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// The little-endian integer of eight bytes at `offset`.
  func integer64(at offset: Int) -> UInt64 {
    self[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
