private import Support

/// Reads and inserts the text chunks of a PNG file.
///
///     signature (8 bytes), then chunks:
///     +--------+------+---------------+---------------------+
///     | length | type | length bytes  | CRC of type and data|      all numbers big-endian
///     +--------+------+---------------+---------------------+
package enum PNGChunks {
  private static let signature: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

  /// Keywords and texts of `tEXt` and uncompressed `iTXt` chunks, in file order.
  ///
  /// Compressed texts are skipped: no known program stores generation parameters that way. So are
  /// texts that are not UTF-8, or have too many combining marks in a row.
  ///
  /// - Throws: ``PNGError`` if a chunk extends past the end of the file or its checksum is wrong.
  package static func texts(
    _ bytes: [UInt8], location: String
  ) throws(PNGError) -> [(keyword: String, text: String)] {
    guard bytes.starts(with: signature) else { throw .notPNG(location: location) }
    var texts: [(String, String)] = []
    var offset = signature.count
    while offset < bytes.count {
      let type = String(decoding: bytes[min(offset + 4, bytes.count)...].prefix(4), as: UTF8.self)
      guard bytes.count - offset >= 12 else {
        throw .damaged(location: location, chunk: type, offset: offset)
      }
      let length = Int(number(bytes, at: offset))
      guard length <= bytes.count - offset - 12,
        crc32(of: Array(bytes[offset + 4..<offset + 8 + length]))
          == number(bytes, at: offset + 8 + length)
      else { throw .damaged(location: location, chunk: type, offset: offset) }
      let data = bytes[offset + 8..<offset + 8 + length]
      if type == "tEXt" { texts += latin1Text(data) }
      if type == "iTXt" { texts += internationalText(data) }
      if type == "IEND" { return texts }
      offset += 12 + length
    }
    throw .damaged(location: location, chunk: "IEND", offset: offset)
  }

  /// Inserts texts after the header, so that readers that stop at the pixels find them.
  static func inserting(
    _ texts: [(keyword: String, text: String)], into bytes: [UInt8]
  ) -> [UInt8] {
    let headerEnd = signature.count + 12 + 13
    return bytes.prefix(headerEnd) + texts.flatMap { chunk(keyword: $0, text: $1) }
      + bytes.dropFirst(headerEnd)
  }

  /// A `tEXt` chunk if Latin-1 can represent the text, otherwise a UTF-8 `iTXt` chunk.
  private static func chunk(keyword: String, text: String) -> [UInt8] {
    let isLatin1 = text.unicodeScalars.allSatisfy { $0.value < 0x100 && $0.value != 0 }
    var body = [UInt8](isLatin1 ? "tEXt".utf8 : "iTXt".utf8) + [UInt8](keyword.utf8) + [0]
    if isLatin1 {
      body += text.unicodeScalars.map { UInt8($0.value) }
    } else {
      // Uncompressed, without language and translated keyword.
      body += [0, 0, 0, 0] + [UInt8](text.utf8)
    }
    return bigEndian(UInt32(body.count - 4)) + body + bigEndian(crc32(of: body))
  }

  private static func latin1Text(_ data: ArraySlice<UInt8>) -> [(String, String)] {
    guard let end = data.firstIndex(of: 0) else { return [] }
    return [(latin1(data[..<end]), latin1(data[(end + 1)...]))]
  }

  private static func internationalText(_ data: ArraySlice<UInt8>) -> [(String, String)] {
    let fields = data.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    guard fields.count == 2, fields[1].count >= 2, fields[1].first == 0 else { return [] }
    let rest = fields[1].dropFirst(2)
      .split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
    guard rest.count == 3 else { return [] }
    guard let text = try? String(fileText: rest[2]) else { return [] }
    return [(latin1(fields[0]), text)]
  }

  private static func latin1(_ bytes: ArraySlice<UInt8>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: bytes.map { Unicode.Scalar($0) })
    return String(view)
  }

  private static func number(_ bytes: [UInt8], at offset: Int) -> UInt32 {
    bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func bigEndian(_ number: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
  }
}
