package import Support

/// What a file that holds no model is: `a PNG image`, `an empty file`.
package func fileKind(_ contents: ByteSlice) -> String {
  if contents.count == 0 { return emptyFile }
  if let kind = knownFileKind(contents) { return kind }
  let first = contents[0..<min(contents.count, 8)].array
  return "a file of \(contents.count) bytes that begins with "
    + hexadecimalText(first, separator: " ")
}

private let emptyFile = "an empty file"
private let textFile = "a text file"

/// The kind of a file that takes the place of a JSON text; `nil` for a text that may be a damaged one.
func kindInPlaceOfText(_ contents: ByteSlice) -> String? {
  if contents.count == 0 { return emptyFile }
  guard let kind = knownFileKind(contents), kind != textFile, !kind.hasPrefix(ErrorPage.json)
  else { return nil }
  return kind
}

/// Whether a text begins as one in UTF-16: with its byte order mark, or with an ASCII character in two
/// bytes.
func isUTF16(_ contents: ByteSlice) -> Bool {
  guard contents.count >= 2 else { return false }
  let head = contents[0..<2].array
  return head == [0xff, 0xfe] || head == [0xfe, 0xff]
    || head.contains(0) && head.contains { (0x09..<0x7f).contains($0) }
}

/// The kind of a file that users confuse with models, from its first bytes; `nil` for others.
package func knownFileKind(_ contents: ByteSlice) -> String? {
  let head = contents[0..<min(contents.count, 64)].array
  let signature = signatures.first { _, offset, bytes in head.dropFirst(offset).starts(with: bytes)
  }
  if let signature { return signature.kind }
  let text = ByteSlice(head).withoutByteOrderMark.array
  let isText = text.allSatisfy { (0x20..<0x7f).contains($0) || [9, 10, 13].contains($0) }
  guard isText, !text.isEmpty else { return nil }
  let words = String(decoding: text, as: UTF8.self).trimmingPrefix { $0.isWhitespace }
  let lowercase = words.lowercased()
  if ["<!doctype html", "<html"].contains(where: lowercase.hasPrefix) { return ErrorPage.html }
  if lowercase.hasPrefix("<?xml") { return ErrorPage.xml }
  if words.hasPrefix("{") || words.hasPrefix("[") {
    return "\(ErrorPage.json) that begins with \(shown(String(words), limit: 40))"
  }
  return textFile
}

/// Kinds of files that servers send in place of the file that was requested.
enum ErrorPage {
  static let html = "an HTML page"
  static let xml = "an XML text"
  static let json = "a JSON text"

  /// Whether a file of this kind, with the name of a file of tensors, is what a failed download
  /// leaves.
  static func isLeft(_ kind: String, at path: String) -> Bool {
    ([html, xml, json, emptyFile].contains { kind.hasPrefix($0) })
      && isTensorFileName(path)
  }
}

/// Whether a path has the extension of a file of named tensors.
func isTensorFileName(_ path: String) -> Bool {
  tensorFileExtensions.contains(PathParts(path).stemAndExtension.extension.lowercased())
}

private let tensorFileExtensions = ["safetensors", "ckpt", "pt", "pth", "bin", "gguf"]

private let signatures: [(kind: String, offset: Int, bytes: [UInt8])] = [
  ("a PNG image", 0, [0x89, 0x50, 0x4e, 0x47]), ("a JPEG image", 0, [0xff, 0xd8, 0xff]),
  ("a GIF image", 0, Array("GIF8".utf8)), ("a WebP image", 8, Array("WEBP".utf8)),
  ("a PDF document", 0, Array("%PDF-".utf8)), ("a ZIP archive", 0, [0x50, 0x4b, 3, 4]),
  ("a gzip archive", 0, [0x1f, 0x8b]), ("a 7z archive", 0, [0x37, 0x7a, 0xbc, 0xaf]),
  ("a RAR archive", 0, Array("Rar!".utf8)), ("an HDF5 file", 0, [0x89, 0x48, 0x44, 0x46]),
]
