package import Support

/// What a file that holds no model is: `a PNG image`, `an empty file`.
package func fileKind(_ contents: ByteSlice) -> String {
  if contents.count == 0 { return "an empty file" }
  if let kind = knownFileKind(contents) { return kind }
  let first = contents[0..<min(contents.count, 8)].array
  return "a file of \(contents.count) bytes that begins with "
    + hexadecimalText(first, separator: " ")
}

/// The kind of a file that users confuse with models, from its first bytes; `nil` for others.
package func knownFileKind(_ contents: ByteSlice) -> String? {
  let head = contents[0..<min(contents.count, 64)].array
  let signature = signatures.first { _, offset, bytes in head.dropFirst(offset).starts(with: bytes)
  }
  if let signature { return signature.kind }
  let isText = head.allSatisfy { (0x20..<0x7f).contains($0) || [9, 10, 13].contains($0) }
  guard isText, !head.isEmpty else { return nil }
  let text = String(decoding: head, as: UTF8.self).lowercased().drop { $0.isWhitespace }
  let isPage = ["<!doctype html", "<html"].contains { text.hasPrefix($0) }
  return isPage ? "an HTML page" : "a text file"
}

private let signatures: [(kind: String, offset: Int, bytes: [UInt8])] = [
  ("a PNG image", 0, [0x89, 0x50, 0x4e, 0x47]), ("a JPEG image", 0, [0xff, 0xd8, 0xff]),
  ("a GIF image", 0, Array("GIF8".utf8)), ("a WebP image", 8, Array("WEBP".utf8)),
  ("a PDF document", 0, Array("%PDF-".utf8)), ("a ZIP archive", 0, [0x50, 0x4b, 3, 4]),
  ("a gzip archive", 0, [0x1f, 0x8b]), ("a 7z archive", 0, [0x37, 0x7a, 0xbc, 0xaf]),
  ("a RAR archive", 0, Array("Rar!".utf8)), ("an HDF5 file", 0, [0x89, 0x48, 0x44, 0x46]),
]
