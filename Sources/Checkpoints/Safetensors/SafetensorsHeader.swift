import Support
import Tensors

/// The header of a safetensors file, parsed and checked against the file.
///
///     +--------------------+-----------------------------+------------------------------+
///     | length N: u64, LE  | header: N bytes of JSON     | data: tensors without gaps   |
///     +--------------------+-----------------------------+------------------------------+
///     0                    8                             8 + N
///
/// The header is an object: `__metadata__` (optional, strings by name), and for each tensor its
/// `dtype`, `shape` and `data_offsets` [begin, end), counted from the data's first byte.
/// The checks are those of <https://github.com/huggingface/safetensors>. In addition, unknown
/// members and more dimensions than PyTorch allows are errors, and the number and the names of
/// tensors are limited.
struct SafetensorsHeader {
  /// A tensor's description.
  struct Item {
    let name: String
    let kind: ElementKind
    let shape: Shape
    let begin: Int
    let end: Int
  }

  static let lengthBytes = 8
  /// The limit of the safetensors library, in bytes.
  static let lengthLimit = 100_000_000
  /// PyTorch's limit on the number of dimensions.
  static let rankLimit = 64
  /// The most members of `__metadata__`.
  static let metadataLimit = 10_000
  static let metadataName = "__metadata__"

  let metadata: [String: String]
  /// The tensors, in the order of their bytes.
  let items: [Item]
  /// The offset of the data in the file.
  let dataStart: Int

  init(_ contents: ByteSlice, path: String) throws(SafetensorsError) {
    if isGitLFSPointer(contents) { throw .pointer(path: path) }
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

    var reader = JSONReader(text.bytes)
    var (metadata, items) = try Self.read(&reader, path: path)
    items.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
    try Self.checkContiguous(items, dataStart: dataStart, of: contents.count, path: path)
    self.metadata = metadata
    self.items = items
  }

  /// Checks that every byte of the data belongs to exactly one tensor.
  ///
  /// - Parameter bytes: the size of the file.
  private static func checkContiguous(
    _ items: [Item], dataStart: Int, of bytes: Int, path: String
  ) throws(SafetensorsError) {
    let available = bytes - dataStart
    var position = 0
    var previous = ""
    for item in items {
      guard item.end <= available else {
        let end = items.reduce(0) { max($0, $1.end) }
        throw .beyondFile(
          path: path, tensor: item.name, end: dataStart.addingSaturating(end), available: bytes)
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

// MARK: - The text

/// Parsing reads member by member and keeps only the tensors' descriptions, so that memory is
/// bounded by a small multiple of the header's length.
extension SafetensorsHeader {
  private static func read(
    _ reader: inout JSONReader, path: String
  ) throws(SafetensorsError) -> (metadata: [String: String], items: [Item]) {
    var metadata: [String: String] = [:]
    var items: [Item] = []
    var seen: Set<String> = []
    try step(&reader, path) { text throws(JSONError) in try text.beginObject() }
    while let name = try nextName(&reader, seen: &seen, path: path) {
      if name == metadataName {
        metadata = try readMetadata(&reader, path: path)
      } else {
        guard items.count < TensorLimits.count else {
          throw .tooManyTensors(path: path, limit: TensorLimits.count)
        }
        guard name.utf8.count <= TextLimits.tensorName else {
          throw .longName(path: path, name: name, limit: TextLimits.tensorName)
        }
        items.append(try readItem(name, &reader, path: path))
      }
    }
    try step(&reader, path) { text throws(JSONError) in try text.end() }
    return (metadata, items)
  }

  /// Runs a step of the JSON reader and converts its errors.
  private static func step<Value>(
    _ reader: inout JSONReader, _ path: String,
    _ step: (inout JSONReader) throws(JSONError) -> Value
  ) throws(SafetensorsError) -> Value {
    do { return try step(&reader) } catch { throw .headerNotJSON(path: path, error) }
  }

  private static func nextName(
    _ reader: inout JSONReader, seen: inout Set<String>, path: String
  ) throws(SafetensorsError) -> String? {
    let count = seen.count
    guard
      let name = try step(
        &reader, path, { text throws(JSONError) in try text.nextName(after: count) })
    else { return nil }
    guard seen.insert(name).inserted else {
      throw .headerNotJSON(
        path: path, JSONError(reason: .duplicateName(name), offset: reader.nameOffset))
    }
    return name
  }

  private static func readMetadata(
    _ reader: inout JSONReader, path: String
  ) throws(SafetensorsError) -> [String: String] {
    let kind = try step(&reader, path) { text throws(JSONError) in try text.nextKind() }
    guard kind == "an object" else { throw .metadataNotObject(path: path, found: kind) }
    var metadata: [String: String] = [:]
    var seen: Set<String> = []
    try step(&reader, path) { text throws(JSONError) in try text.beginObject() }
    while let name = try nextName(&reader, seen: &seen, path: path) {
      guard metadata.count < metadataLimit else {
        throw .metadataTooLong(path: path, limit: metadataLimit)
      }
      let kind = try step(&reader, path) { text throws(JSONError) in try text.nextKind() }
      guard kind == "a string" else {
        throw .metadataNotString(path: path, member: name, found: kind)
      }
      metadata[name] = try step(&reader, path) { text throws(JSONError) in try text.string() }
    }
    return metadata
  }

  /// Reads and checks one tensor's description.
  private static func readItem(
    _ name: String, _ reader: inout JSONReader, path: String
  ) throws(SafetensorsError) -> Item {
    let found = try step(&reader, path) { text throws(JSONError) in try text.nextKind() }
    guard found == "an object" else {
      throw .tensorNotObject(path: path, tensor: name, found: found)
    }
    var dtype: String?
    var extents: [Int]?
    var offsets: [Int]?
    var seen: Set<String> = []
    try step(&reader, path) { text throws(JSONError) in try text.beginObject() }
    while let member = try nextName(&reader, seen: &seen, path: path) {
      switch member {
      case "dtype":
        let found = try step(&reader, path) { text throws(JSONError) in try text.nextKind() }
        guard found == "a string" else {
          throw .wrongMember(
            path: path, tensor: name, member: member, found: found, expected: "a string")
        }
        dtype = try step(&reader, path) { text throws(JSONError) in try text.string() }
      case "shape":
        extents = try readNumbers(member, of: name, atMost: rankLimit, &reader, path: path)
      case "data_offsets":
        offsets = try readNumbers(member, of: name, atMost: 2, &reader, path: path)
      default:
        throw .unexpectedMember(path: path, tensor: name, member: member)
      }
    }
    guard let dtype else { throw .missingMember(path: path, tensor: name, member: "dtype") }
    guard let extents else { throw .missingMember(path: path, tensor: name, member: "shape") }
    guard let offsets else {
      throw .missingMember(path: path, tensor: name, member: "data_offsets")
    }
    guard let kind = ElementKind(rawValue: dtype) else {
      throw .unknownKind(path: path, tensor: name, found: dtype)
    }
    guard offsets.count == 2 else {
      throw .wrongMember(
        path: path, tensor: name, member: "data_offsets", found: "an array of \(offsets.count)",
        expected: "one of 2 numbers")
    }
    return try item(name, kind, extents, begin: offsets[0], end: offsets[1], path: path)
  }

  private static func readNumbers(
    _ member: String, of tensor: String, atMost limit: Int, _ reader: inout JSONReader,
    path: String
  ) throws(SafetensorsError) -> [Int] {
    func wrong(_ found: String) -> SafetensorsError {
      .wrongMember(
        path: path, tensor: tensor, member: member, found: found,
        expected: "an array of at most \(limit) whole numbers from 0")
    }
    let found = try step(&reader, path) { text throws(JSONError) in try text.nextKind() }
    guard found == "an array" else { throw wrong(found) }
    var numbers: [Int] = []
    try step(&reader, path) { text throws(JSONError) in try text.beginArray() }
    while true {
      let count = numbers.count
      guard
        try step(&reader, path, { text throws(JSONError) in try text.nextElement(after: count) })
      else { return numbers }
      if count == limit { throw wrong("an array of more than \(limit)") }
      let found = try step(&reader, path) { text throws(JSONError) in try text.nextKind() }
      guard found == "a number" else { throw wrong("an array that holds \(found)") }
      let value = try step(&reader, path) { text throws(JSONError) in try text.value() }
      guard case .integer(let number) = value, number >= 0 else {
        throw wrong("an array that holds \(shown(value.text(), limit: 40))")
      }
      numbers.append(number)
    }
  }

  /// The numbers of one tensor, checked against each other.
  private static func item(
    _ name: String, _ kind: ElementKind, _ extents: [Int], begin: Int, end: Int, path: String
  ) throws(SafetensorsError) -> Item {
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
}

extension Int {
  /// The sum, or the largest number where it overflows.
  fileprivate func addingSaturating(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
