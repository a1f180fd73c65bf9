import Tensors

/// What the header of a safetensors file says, checked against the file: the format's one door.
///
///     +--------------------+-----------------------------+------------------------------+
///     | length N: u64, LE  | header: N bytes of JSON     | data: tensors without gaps   |
///     +--------------------+-----------------------------+------------------------------+
///     0                    8                             8 + N
///
/// The header is an object: `__metadata__` (optional, strings by name), and for each tensor its
/// `dtype`, `shape` and `data_offsets` [begin, end), counted from the data's first byte.
/// Everything that <https://github.com/huggingface/safetensors> checks is checked, and members
/// that it would pass over are refused.
struct SafetensorsHeader {
  struct Item {
    let name: String
    let kind: ElementKind
    let shape: Shape
    let begin: Int
    let end: Int
  }

  static let lengthBytes = 8
  /// The limit of the format's own library.
  static let lengthLimit = 100_000_000
  static let metadataName = "__metadata__"

  let metadata: [String: String]
  /// In the order of their bytes.
  let items: [Item]
  /// Where the data begins in the file.
  let dataStart: Int

  init(_ contents: ByteSlice, path: String) throws(SafetensorsError) {
    guard contents.count >= Self.lengthBytes else {
      throw .tooShort(path: path, bytes: contents.count)
    }
    let length = contents[0..<Self.lengthBytes].array.reversed().reduce(UInt64(0)) {
      $0 << 8 | UInt64($1)
    }
    guard length <= UInt64(Self.lengthLimit) else {
      throw .headerTooLong(path: path, bytes: length, limit: Self.lengthLimit)
    }
    dataStart = Self.lengthBytes + Int(length)
    guard dataStart <= contents.count else {
      throw .headerBeyondFile(
        path: path, bytes: Int(length), available: contents.count - Self.lengthBytes)
    }
    let text = contents[Self.lengthBytes..<dataStart]
    let first = text.count == 0 ? nil : text[0..<1].array.first
    guard first == UInt8(ascii: "{") else { throw .headerStart(path: path, found: first) }

    let header: JSONValue
    do { header = try JSONValue(parsing: text.bytes) } catch {
      throw .headerNotJSON(path: path, error)
    }
    var metadata: [String: String] = [:]
    var items: [Item] = []
    for (name, value) in header.object?.members ?? [] {
      if name == Self.metadataName {
        metadata = try Self.metadata(value, path: path)
      } else {
        items.append(try Self.item(name, value, path: path))
      }
    }
    items.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
    try Self.checkContiguous(items, available: contents.count - dataStart, path: path)
    self.metadata = metadata
    self.items = items
  }

  private static func metadata(
    _ value: JSONValue, path: String
  ) throws(SafetensorsError) -> [String: String] {
    guard let object = value.object else {
      throw .metadataNotObject(path: path, found: value.kind)
    }
    var metadata: [String: String] = [:]
    for (name, value) in object.members {
      guard let text = value.string else {
        throw .metadataNotString(path: path, member: name, found: value.kind)
      }
      metadata[name] = text
    }
    return metadata
  }

  /// One tensor's description, checked by itself.
  private static func item(
    _ name: String, _ value: JSONValue, path: String
  ) throws(SafetensorsError) -> Item {
    guard let object = value.object else {
      throw .tensorNotObject(path: path, tensor: name, found: value.kind)
    }
    func member(_ member: String) throws(SafetensorsError) -> JSONValue {
      guard let value = object[member] else {
        throw .missingMember(path: path, tensor: name, member: member)
      }
      return value
    }
    func wrong(_ member: String, _ found: String, _ expected: String) -> SafetensorsError {
      .wrongMember(path: path, tensor: name, member: member, found: found, expected: expected)
    }
    func numbers(_ member: String, _ value: JSONValue) throws(SafetensorsError) -> [Int] {
      let expected = "an array of whole numbers from 0"
      guard let array = value.array else { throw wrong(member, value.kind, expected) }
      var numbers: [Int] = []
      for value in array {
        guard case .integer(let number) = value, number >= 0 else {
          let found = value.number == nil ? value.kind : shown(value.text(), limit: 40)
          throw wrong(member, "an array that holds \(found)", expected)
        }
        numbers.append(number)
      }
      return numbers
    }

    let kindValue = try member("dtype")
    let shapeValue = try member("shape")
    let offsetsValue = try member("data_offsets")
    for name_ in object.keys where !["dtype", "shape", "data_offsets"].contains(name_) {
      throw .unexpectedMember(path: path, tensor: name, member: name_)
    }
    guard let kindName = kindValue.string else {
      throw wrong("dtype", kindValue.kind, "a string")
    }
    guard let kind = ElementKind(rawValue: kindName) else {
      throw .unknownKind(path: path, tensor: name, found: kindName)
    }
    let extents = try numbers("shape", shapeValue)
    let offsets = try numbers("data_offsets", offsetsValue)
    guard offsets.count == 2 else {
      throw wrong("data_offsets", "an array of \(offsets.count)", "one of 2 numbers")
    }
    let (begin, end) = (offsets[0], offsets[1])

    guard let shape = Shape(checking: extents),
      !shape.count.multipliedReportingOverflow(by: kind.bitWidth).overflow
    else { throw .shapeOverflows(path: path, tensor: name, extents: extents, kind: kind) }
    guard let size = kind.byteCount(of: shape.count) else {
      throw .partOfByte(path: path, tensor: name, shape: shape, kind: kind)
    }
    guard begin <= end else {
      throw .offsetsReversed(path: path, tensor: name, begin: begin, end: end)
    }
    guard end - begin == size else {
      throw .sizeDisagrees(
        path: path, tensor: name, shape: shape, kind: kind, found: end - begin, expected: size)
    }
    return Item(name: name, kind: kind, shape: shape, begin: begin, end: end)
  }

  /// Every byte of the data belongs to one tensor.
  private static func checkContiguous(
    _ items: [Item], available: Int, path: String
  ) throws(SafetensorsError) {
    var position = 0
    var previous = ""
    for item in items {
      guard item.end <= available else {
        throw .beyondFile(path: path, tensor: item.name, end: item.end, available: available)
      }
      guard item.begin >= position else {
        throw .overlap(
          path: path, tensor: item.name, begin: item.begin, other: previous, otherEnd: position)
      }
      guard item.begin == position else {
        throw .hole(path: path, tensor: item.name, begin: item.begin, expected: position)
      }
      position = item.end
      previous = item.name
    }
    guard position == available else {
      throw .trailingBytes(path: path, count: available - position)
    }
  }
}
