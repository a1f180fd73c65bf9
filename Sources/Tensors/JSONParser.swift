/// Why a text is not the JSON it should be.
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
  }

  package let reason: Reason
  /// Byte at which it was seen, counted from 0.
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
      case .duplicateName(let name): "the name '\(name)' occurs twice in one object"
      case .tooDeep(let limit): "nested deeper than \(limit) levels"
      case .trailingBytes: "something follows the value"
      }
    return "\(what) (at byte \(offset))"
  }
}

extension JSONValue {
  /// Parses RFC 8259 JSON in UTF-8, strictly: no duplicate names, nothing after the value, at most
  /// 64 levels deep. Time and memory are linear in the text.
  package init(parsing bytes: RawSpan) throws(JSONError) {
    var parser = JSONParser(bytes: bytes)
    self = try parser.document()
  }

  package init(parsing text: String) throws(JSONError) {
    try self.init(parsing: ByteSlice([UInt8](text.utf8)).bytes)
  }
}

private struct JSONParser: ~Escapable {
  let bytes: RawSpan
  var position = 0
  static let depthLimit = 64

  @_lifetime(copy bytes)
  init(bytes: RawSpan) { self.bytes = bytes }

  mutating func document() throws(JSONError) -> JSONValue {
    let value = try value(depth: 0)
    skipSpace()
    if position != bytes.byteCount { throw error(.trailingBytes) }
    return value
  }

  func error(_ reason: JSONError.Reason) -> JSONError {
    JSONError(reason: reason, offset: position)
  }

  func byte(at index: Int) -> UInt8 { bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) }

  func peek() -> UInt8? { position < bytes.byteCount ? byte(at: position) : nil }

  mutating func next() throws(JSONError) -> UInt8 {
    guard let byte = peek() else { throw error(.unexpectedEnd) }
    position += 1
    return byte
  }

  mutating func expect(_ byte: UInt8) throws(JSONError) {
    guard let found = peek() else { throw error(.unexpectedEnd) }
    if found != byte { throw error(.unexpected(byte: found)) }
    position += 1
  }

  mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      position += 1
    }
  }

  mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    if depth > Self.depthLimit { throw error(.tooDeep(limit: Self.depthLimit)) }
    skipSpace()
    guard let byte = peek() else { throw error(.unexpectedEnd) }
    switch byte {
    case UInt8(ascii: "{"): return .object(try object(depth: depth))
    case UInt8(ascii: "["): return .array(try array(depth: depth))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw error(.unexpected(byte: byte))
    }
  }

  mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
    for byte in "\(word)".utf8 { try expect(byte) }
    return value
  }

  mutating func object(depth: Int) throws(JSONError) -> JSONObject {
    var object = JSONObject()
    position += 1
    skipSpace()
    if peek() == UInt8(ascii: "}") {
      position += 1
      return object
    }
    while true {
      skipSpace()
      let start = position
      let name = try string()
      if object[name] != nil {
        throw JSONError(reason: .duplicateName(name), offset: start)
      }
      skipSpace()
      try expect(UInt8(ascii: ":"))
      object[name] = try value(depth: depth + 1)
      skipSpace()
      switch try next() {
      case UInt8(ascii: ","): continue
      case UInt8(ascii: "}"): return object
      case let other:
        position -= 1
        throw error(.unexpected(byte: other))
      }
    }
  }

  mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
    var values: [JSONValue] = []
    position += 1
    skipSpace()
    if peek() == UInt8(ascii: "]") {
      position += 1
      return values
    }
    while true {
      values.append(try value(depth: depth + 1))
      skipSpace()
      switch try next() {
      case UInt8(ascii: ","): continue
      case UInt8(ascii: "]"): return values
      case let other:
        position -= 1
        throw error(.unexpected(byte: other))
      }
    }
  }

  mutating func string() throws(JSONError) -> String {
    let start = position
    try expect(UInt8(ascii: "\""))
    var units: [UInt8] = []
    while true {
      let byte = try next()
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: units, as: UTF8.self) else {
          throw JSONError(reason: .invalidUTF8, offset: start)
        }
        return string
      case UInt8(ascii: "\\"): try escape(into: &units)
      case 0..<0x20:
        position -= 1
        throw error(.unexpected(byte: byte))
      default: units.append(byte)
      }
    }
  }

  mutating func escape(into units: inout [UInt8]) throws(JSONError) {
    switch try next() {
    case UInt8(ascii: "\""): units.append(0x22)
    case UInt8(ascii: "\\"): units.append(0x5c)
    case UInt8(ascii: "/"): units.append(0x2f)
    case UInt8(ascii: "b"): units.append(0x08)
    case UInt8(ascii: "f"): units.append(0x0c)
    case UInt8(ascii: "n"): units.append(0x0a)
    case UInt8(ascii: "r"): units.append(0x0d)
    case UInt8(ascii: "t"): units.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if 0xd800..<0xdc00 ~= code {
        try expect(UInt8(ascii: "\\"))
        try expect(UInt8(ascii: "u"))
        let low = try hexadecimal()
        guard 0xdc00..<0xe000 ~= low else { throw error(.invalidEscape) }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error(.invalidEscape) }
      units.append(contentsOf: String(Character(scalar)).utf8)
    default: throw error(.invalidEscape)
    }
  }

  mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      let byte = try next()
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw error(.invalidEscape)
      }
      code = code << 4 | UInt32(digit)
    }
    return code
  }

  /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
  mutating func number() throws(JSONError) -> JSONValue {
    let start = position
    var text = ""
    var isWhole = true
    func isDigit(_ byte: UInt8?) -> Bool { byte.map { 0x30...0x39 ~= $0 } ?? false }
    func take(_ parser: inout JSONParser) {
      if let byte = parser.peek() { text.unicodeScalars.append(Unicode.Scalar(byte)) }
      parser.position += 1
    }
    func digits(_ parser: inout JSONParser) throws(JSONError) {
      guard isDigit(parser.peek()) else { throw parser.error(.invalidNumber) }
      while isDigit(parser.peek()) { take(&parser) }
    }
    if peek() == UInt8(ascii: "-") { take(&self) }
    if peek() == UInt8(ascii: "0") { take(&self) } else { try digits(&self) }
    if peek() == UInt8(ascii: ".") {
      isWhole = false
      take(&self)
      try digits(&self)
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      isWhole = false
      take(&self)
      if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { take(&self) }
      try digits(&self)
    }
    if isWhole, let integer = Int(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else {
      throw JSONError(reason: .invalidNumber, offset: start)
    }
    return .number(number)
  }
}
