import Support

/// Reads the header of a GGUF file. Checks every length against the bytes that remain.
struct GGUFInput {
  let contents: ByteSlice
  let path: String
  private(set) var position = 0

  init(_ contents: ByteSlice, path: String) {
    self.contents = contents
    self.path = path
  }

  var remaining: Int { contents.count - position }

  mutating func bytes(_ count: Int, _ what: String) throws(GGUFError) -> [UInt8] {
    guard count >= 0, count <= remaining else {
      throw .truncated(path: path, at: contents.count, reading: what)
    }
    defer { position += count }
    return contents[position..<position + count].array
  }

  /// Reads a little-endian number of `width` bytes.
  mutating func unsigned(_ width: Int, _ what: String) throws(GGUFError) -> UInt64 {
    try bytes(width, what).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  mutating func count(_ what: String, limit: Int) throws(GGUFError) -> Int {
    let number = try unsigned(8, what)
    guard number <= UInt64(limit) else {
      throw .malformed(
        path: path, what: what, found: "\(number)", expected: "at most \(limit)")
    }
    return Int(number)
  }

  mutating func string(_ what: String) throws(GGUFError) -> String {
    let length = try count("the length of \(what)", limit: remaining)
    guard let text = String(validating: try bytes(length, what), as: UTF8.self) else {
      throw .malformed(path: path, what: what, found: "no UTF-8", expected: "a text in UTF-8")
    }
    return text
  }

  /// Reads a value of a type. Keeps the first elements of long arrays and the count of the others.
  mutating func value(_ key: String, type: UInt32, depth: Int = 0) throws(GGUFError) -> JSONValue {
    func signed(_ bits: UInt64, _ width: Int) -> Int {
      let shift = 64 - 8 * width
      return Int(Int64(bitPattern: bits << UInt64(shift)) >> Int64(shift))
    }
    let what = "the value of '\(shown(key))'"
    switch type {
    case 0, 2, 4: return .integer(Int(try unsigned([1, 2, 4][Int(type) / 2], what)))
    case 1, 3, 5:
      let width = [1, 2, 4][Int(type) / 2]
      return .integer(signed(try unsigned(width, what), width))
    case 6: return .number(Double(Float(bitPattern: UInt32(try unsigned(4, what)))))
    case 7: return .bool(try unsigned(1, what) != 0)
    case 8: return .string(try string(what))
    case 9:
      guard depth < 4 else {
        throw .malformed(
          path: path, what: what, found: "arrays in arrays", expected: "at most 4 within another")
      }
      let inner = UInt32(try unsigned(4, what))
      // Every element takes at least one byte.
      let count = try count(
        "the length of '\(shown(key))'", limit: min(remaining, Self.arrayBound))
      var values: [JSONValue] = []
      for index in 0..<count {
        let value = try value(key, type: inner, depth: depth + 1)
        if index < Self.arrayLimit { values.append(value) }
      }
      if count > Self.arrayLimit { values.append(.string("and \(count - Self.arrayLimit) more")) }
      return .array(values)
    case 10:
      let bits = try unsigned(8, what)
      return Int(exactly: bits).map { .integer($0) } ?? .string("\(bits)")
    case 11: return .integer(Int(Int64(bitPattern: try unsigned(8, what))))
    case 12: return .number(Double(bitPattern: try unsigned(8, what)))
    default:
      throw .malformed(
        path: path, what: "the type of '\(shown(key))'", found: "\(type)", expected: "0 to 12")
    }
  }

  /// The largest number of elements of an array: sixty times the largest vocabulary.
  private static let arrayBound = 1 << 24

  /// The number of elements of an array that are kept. Vocabularies are longer.
  private static let arrayLimit = 64
}
