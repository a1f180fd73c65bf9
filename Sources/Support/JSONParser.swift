/// The reason why a text is not valid JSON, and where.
package struct JSONError: Error, Equatable, CustomStringConvertible {
  package enum Reason: Hashable, Sendable {
    case unexpectedEnd
    case unexpected(byte: UInt8)
    case invalidUTF8
    case invalidEscape
    case invalidNumber
    case duplicateName(String)
    case tooDeep(limit: Int)
    case trailingBytes
    // Limits.
    case tooLong(bytes: Int, limit: Int)
    case tooManyValues(limit: Int)
    case longName(limit: Int)
    case combiningMarks(limit: Int)
  }

  package let reason: Reason
  /// The byte offset of the error, counted from 0.
  package let offset: Int

  package init(reason: Reason, offset: Int) {
    self.reason = reason
    self.offset = offset
  }

  package var description: String {
    let what =
      switch reason {
      case .unexpectedEnd: "the text ends too early"
      case .unexpected(let byte): "unexpected byte 0x" + String(byte, radix: 16)
      case .invalidUTF8: "a string is not UTF-8"
      case .invalidEscape: "a string holds an invalid escape"
      case .invalidNumber: "a number is malformed or too large"
      case .duplicateName(let name): "the name '\(shown(name))' occurs twice in one object"
      case .tooDeep(let limit): "nested deeper than \(limit) levels"
      case .trailingBytes: "something follows the value"
      case .tooLong(let bytes, let limit):
        "the text has \(bytes) bytes, expected at most \(limit)"
      case .tooManyValues(let limit): "more than \(limit) values"
      case .longName(let limit): "a name of more than \(limit) bytes"
      case .combiningMarks(let limit):
        "a string with more than \(limit) combining marks in a row"
      }
    return "\(what) (at byte \(offset))"
  }
}

extension JSONValue {
  /// The most bytes of a text: those of a safetensors header.
  private static let textLimit = 100_000_000

  /// Parses JSON (RFC 8259) in UTF-8, strictly: without duplicate names, without text after the
  /// value, and at most 64 levels deep. Time is linear in the length of the text, and memory is at
  /// most twice the length of its strings and 200 bytes for each value. ``JSONReader`` has the
  /// limits of values and names.
  ///
  /// - Parameter acceptingInfinity: see ``JSONReader/acceptsInfinity``.
  package init(parsing bytes: RawSpan, acceptingInfinity: Bool = false) throws(JSONError) {
    if bytes.byteCount > Self.textLimit {
      throw JSONError(reason: .tooLong(bytes: bytes.byteCount, limit: Self.textLimit), offset: 0)
    }
    var reader = JSONReader(bytes)
    reader.acceptsInfinity = acceptingInfinity
    self = try reader.value()
    try reader.end()
  }

  package init(parsing text: String) throws(JSONError) {
    try self.init(parsing: ByteSlice([UInt8](text.utf8)).bytes)
  }
}
