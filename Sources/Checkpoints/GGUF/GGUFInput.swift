import Support

/// Reads the header of a GGUF file. Checks every length against the bytes that remain, and the whole
/// against ``Limits``.
///
/// Parameters `what` describe what is read, for messages.
struct GGUFInput {
  /// Limits that bound the time and memory of a header.
  enum Limits {
    /// Bytes of the header: the limit of safetensors. Most of it are vocabularies, of which the
    /// largest has 8 MB.
    static let bytes = 100_000_000
    /// Values in the header.
    static let values = 10_000
    /// Elements of an array: sixty times the largest vocabulary.
    static let elements = 1 << 24
    /// Elements of an array that are kept. Vocabularies are longer.
    static let kept = 64
    /// Elements that are kept of all arrays, inner ones included.
    static let keptOfAll = 100_000
    /// Arrays around the innermost elements.
    static let depth = 4
  }

  let contents: ByteSlice
  let path: String
  private(set) var position = 0
  /// The elements of arrays that may still be kept.
  private var keepable = Limits.keptOfAll

  init(_ contents: ByteSlice, path: String) {
    self.contents = contents
    self.path = path
  }

  var remaining: Int { contents.count - position }

  mutating func bytes(
    _ count: Int, _ what: @autoclosure () -> String
  ) throws(GGUFError) -> [UInt8] {
    let start = position
    try skip(count, what())
    return contents[start..<start + count].array
  }

  private mutating func skip(
    _ count: Int, _ what: @autoclosure () -> String
  ) throws(GGUFError) {
    guard count >= 0, count <= remaining else {
      throw .truncated(path: path, at: contents.count, reading: what())
    }
    guard count <= Limits.bytes - position else {
      throw .headerTooLong(path: path, limit: Limits.bytes, reading: what())
    }
    position += count
  }

  /// Reads a little-endian number of `width` bytes.
  mutating func unsigned(
    _ width: Int, _ what: @autoclosure () -> String
  ) throws(GGUFError) -> UInt64 {
    try bytes(width, what()).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  mutating func count(
    _ what: @autoclosure () -> String, limit: Int
  ) throws(GGUFError) -> Int {
    let number = try unsigned(8, what())
    guard number <= UInt64(limit) else {
      throw .malformed(
        path: path, what: what(), found: "\(number)", expected: "at most \(limit)")
    }
    return Int(number)
  }

  /// Reads a text of at most `limit` bytes; `nil` for no limit of its own.
  mutating func string(
    _ what: @autoclosure () -> String, limit: Int? = nil
  ) throws(GGUFError) -> String {
    let length = try count("the length of \(what())", limit: min(limit ?? .max, remaining))
    let bytes = try bytes(length, what())
    do { return try String(fileText: bytes) } catch {
      throw .malformed(
        path: path, what: what(), found: error == .notUTF8 ? "no UTF-8" : "\(error)",
        expected: "a text in UTF-8")
    }
  }

  /// Reads a value of a type. Keeps the first elements of long arrays and the count of the others.
  mutating func value(_ key: String, type: UInt32, depth: Int = 0) throws(GGUFError) -> JSONValue {
    func signed(_ bits: UInt64, _ width: Int) -> Int {
      let shift = 64 - 8 * width
      return Int(Int64(bitPattern: bits << UInt64(shift)) >> Int64(shift))
    }
    func what() -> String { "the value of '\(shown(key))'" }
    switch type {
    case 0, 2, 4: return .integer(Int(try unsigned([1, 2, 4][Int(type) / 2], what())))
    case 1, 3, 5:
      let width = [1, 2, 4][Int(type) / 2]
      return .integer(signed(try unsigned(width, what()), width))
    case 6: return .number(Double(Float(bitPattern: UInt32(try unsigned(4, what())))))
    case 7: return .bool(try unsigned(1, what()) != 0)
    case 8: return .string(try string(what()))
    case 9: return try array(key, depth: depth)
    case 10:
      let bits = try unsigned(8, what())
      return Int(exactly: bits).map { .integer($0) } ?? .string("\(bits)")
    case 11: return .integer(Int(Int64(bitPattern: try unsigned(8, what()))))
    case 12: return .number(Double(bitPattern: try unsigned(8, what())))
    default:
      throw .malformed(
        path: path, what: "the type of '\(shown(key))'", found: "\(type)", expected: "0 to 12")
    }
  }

  private mutating func array(_ key: String, depth: Int) throws(GGUFError) -> JSONValue {
    func what() -> String { "the value of '\(shown(key))'" }
    guard depth < Limits.depth else {
      throw .malformed(
        path: path, what: what(), found: "arrays in arrays",
        expected: "at most \(Limits.depth) within another")
    }
    let inner = UInt32(try unsigned(4, what()))
    // Every element takes at least one byte.
    let count = try count(
      "the length of '\(shown(key))'", limit: min(remaining, Limits.elements))
    var values: [JSONValue] = []
    let kept = min(count, Limits.kept, keepable)
    keepable -= kept
    for _ in 0..<kept { values.append(try value(key, type: inner, depth: depth + 1)) }
    try skip(count - kept, of: inner, key, depth: depth + 1)
    if count > kept { values.append(.string("and \(count - kept) more")) }
    return .array(values)
  }

  /// Skips elements of an array.
  private mutating func skip(
    _ count: Int, of type: UInt32, _ key: String, depth: Int
  ) throws(GGUFError) {
    if count == 0 { return }
    func what() -> String { "the value of '\(shown(key))'" }
    switch type {
    case 8:
      for _ in 0..<count {
        try skip(try self.count("the length of \(what())", limit: remaining), what())
      }
    case 0...7, 10...12:
      let width = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][Int(type)]
      let (size, overflow) = count.multipliedReportingOverflow(by: width)
      try skip(overflow ? .max : size, what())
    // Arrays, and types that are unknown.
    default: for _ in 0..<count { _ = try value(key, type: type, depth: depth) }
    }
  }
}
