/// A strict pull parser for JSON.
///
/// The caller requests one piece after another, and the reader throws where the text differs. It
/// reads no further than requested and stores nothing, so a hostile text costs bounded memory.
///
///     var reader = JSONReader(bytes)
///     try reader.beginObject()
///     var count = 0
///     while let name = try reader.nextName(after: count) {
///       let value = try reader.value()
///       count += 1
///     }
///     try reader.end()
package struct JSONReader: ~Escapable {
  private let bytes: RawSpan
  /// Bytes read so far.
  package private(set) var offset = 0
  /// The offset of the name that was read last.
  package private(set) var nameOffset = 0
  /// Whether `Infinity` and `-Infinity` are accepted as numbers. Python's `json` writes them, RFC
  /// 8259 does not allow them.
  package var acceptsInfinity = false
  private static let depthLimit = 64
  /// The most values that one call of ``value()`` reads, with the values inside them. A tokenizer of
  /// CLIP has 200,000.
  package static let valueLimit = 1_000_000
  /// The values that the running call of ``value()`` may still read.
  private var valuesLeft = 0

  @_lifetime(copy bytes)
  package init(_ bytes: RawSpan) { self.bytes = bytes }

  // MARK: Pieces

  /// The kind of the next value, as messages name it; see ``JSONValue/kind``.
  package mutating func nextKind() throws(JSONError) -> String {
    skipSpace()
    guard let byte = peek() else { throw error(.unexpectedEnd) }
    switch byte {
    case UInt8(ascii: "{"): return "an object"
    case UInt8(ascii: "["): return "an array"
    case UInt8(ascii: "\""): return "a string"
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return "a Boolean"
    case UInt8(ascii: "n"): return "null"
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return "a number"
    default: throw error(.unexpected(byte: byte))
    }
  }

  package mutating func beginObject() throws(JSONError) {
    skipSpace()
    try expect(UInt8(ascii: "{"))
  }

  /// Reads the name of the next member, up to its value. At the end of the object it reads the
  /// closing brace and returns `nil`. It does not check for duplicate names.
  ///
  /// - Parameter count: the number of members that were read before.
  package mutating func nextName(after count: Int) throws(JSONError) -> String? {
    guard try isNext(after: count, end: UInt8(ascii: "}")) else { return nil }
    nameOffset = offset
    let name = try string()
    guard name.utf8.count <= TextLimits.name else {
      throw JSONError(reason: .longName(limit: TextLimits.name), offset: nameOffset)
    }
    skipSpace()
    try expect(UInt8(ascii: ":"))
    return name
  }

  package mutating func beginArray() throws(JSONError) {
    skipSpace()
    try expect(UInt8(ascii: "["))
  }

  /// Whether another element follows. At the end of the array it reads the closing bracket.
  ///
  /// - Parameter count: the number of elements that were read before.
  package mutating func nextElement(after count: Int) throws(JSONError) -> Bool {
    try isNext(after: count, end: UInt8(ascii: "]"))
  }

  /// Throws unless only whitespace follows.
  package mutating func end() throws(JSONError) {
    skipSpace()
    if offset != bytes.byteCount { throw error(.trailingBytes) }
  }

  private mutating func isNext(after count: Int, end: UInt8) throws(JSONError) -> Bool {
    skipSpace()
    guard let found = peek() else { throw error(.unexpectedEnd) }
    if found == end {
      offset += 1
      return false
    }
    if count > 0 {
      try expect(UInt8(ascii: ","))
      skipSpace()
    }
    return true
  }

  // MARK: Values

  /// Reads the next value: at most 64 levels deep, without duplicate names, and with at most
  /// ``valueLimit`` values inside it.
  package mutating func value() throws(JSONError) -> JSONValue {
    valuesLeft = Self.valueLimit
    return try value(depth: 0)
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    if depth > Self.depthLimit { throw error(.tooDeep(limit: Self.depthLimit)) }
    if valuesLeft == 0 { throw error(.tooManyValues(limit: Self.valueLimit)) }
    valuesLeft -= 1
    skipSpace()
    guard let byte = peek() else { throw error(.unexpectedEnd) }
    switch byte {
    case UInt8(ascii: "{"): return .object(try object(depth: depth))
    case UInt8(ascii: "["): return .array(try array(depth: depth))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "I") where acceptsInfinity: return try word("Infinity", .number(.infinity))
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw error(.unexpected(byte: byte))
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError)
    -> JSONValue
  {
    for byte in "\(word)".utf8 { try expect(byte) }
    return value
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
    var object = JSONObject()
    try beginObject()
    while let name = try nextName(after: object.count) {
      if object[name] != nil { throw JSONError(reason: .duplicateName(name), offset: nameOffset) }
      object[name] = try value(depth: depth + 1)
    }
    return object
  }

  private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
    var values: [JSONValue] = []
    try beginArray()
    while try nextElement(after: values.count) { values.append(try value(depth: depth + 1)) }
    return values
  }

  /// Reads the next string.
  package mutating func string() throws(JSONError) -> String {
    skipSpace()
    let start = offset
    try expect(UInt8(ascii: "\""))
    var units: [UInt8] = []
    while true {
      let byte = try next()
      switch byte {
      case UInt8(ascii: "\""):
        do { return try String(fileText: units) } catch {
          switch error {
          case .notUTF8: throw JSONError(reason: .invalidUTF8, offset: start)
          case .combiningMarks:
            throw JSONError(
              reason: .combiningMarks(limit: TextLimits.combiningMarks), offset: start)
          }
        }
      case UInt8(ascii: "\\"): try escape(into: &units)
      case 0..<0x20:
        offset -= 1
        throw error(.unexpected(byte: byte))
      default: units.append(byte)
      }
    }
  }

  private mutating func escape(into units: inout [UInt8]) throws(JSONError) {
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

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
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
  private mutating func number() throws(JSONError) -> JSONValue {
    let start = offset
    var isWhole = true
    if peek() == UInt8(ascii: "-") { offset += 1 }
    if acceptsInfinity, offset > start, peek() == UInt8(ascii: "I") {
      return try word("Infinity", .number(-.infinity))
    }
    if peek() == UInt8(ascii: "0") { offset += 1 } else { try digits() }
    if peek() == UInt8(ascii: ".") {
      isWhole = false
      offset += 1
      try digits()
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      isWhole = false
      offset += 1
      if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { offset += 1 }
      try digits()
    }
    let text = String(decoding: (start..<offset).map { byte(at: $0) }, as: UTF8.self)
    if isWhole, let integer = Int(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else {
      throw JSONError(reason: .invalidNumber, offset: start)
    }
    return .number(number)
  }

  /// Skips one decimal digit or more.
  private mutating func digits() throws(JSONError) {
    let start = offset
    while let byte = peek(), 0x30...0x39 ~= byte { offset += 1 }
    if offset == start { throw error(.invalidNumber) }
  }

  // MARK: Bytes

  private func error(_ reason: JSONError.Reason) -> JSONError {
    JSONError(reason: reason, offset: offset)
  }

  private func byte(at index: Int) -> UInt8 {
    bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
  }

  private func peek() -> UInt8? { offset < bytes.byteCount ? byte(at: offset) : nil }

  private mutating func next() throws(JSONError) -> UInt8 {
    guard let byte = peek() else { throw error(.unexpectedEnd) }
    offset += 1
    return byte
  }

  private mutating func expect(_ byte: UInt8) throws(JSONError) {
    guard let found = peek() else { throw error(.unexpectedEnd) }
    if found != byte { throw error(.unexpected(byte: found)) }
    offset += 1
  }

  private mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      offset += 1
    }
  }
}
