package import Support
package import Tensors

/// Why a file is not a valid safetensors file.
package enum SafetensorsError: RemediableError, Equatable {
  case unreadable(FileError)
  /// A file that Git LFS left in place of the weights.
  case pointer(path: String)
  /// The file is shorter than the field of the header's length.
  case tooShort(path: String, bytes: Int)
  case headerTooLong(path: String, bytes: UInt64, limit: Int)
  case headerBeyondFile(path: String, bytes: Int, available: Int)
  /// The header does not begin with `{`. `found` is `nil` where the header is empty.
  case headerStart(path: String, found: UInt8?)
  case headerNotJSON(path: String, JSONError)
  case tooManyTensors(path: String, limit: Int)
  case longName(path: String, name: String, limit: Int)
  case metadataNotObject(path: String, found: String)
  case metadataTooLong(path: String, limit: Int)
  case metadataNotString(path: String, member: String, found: String)
  case tensorNotObject(path: String, tensor: String, found: String)
  case missingMember(path: String, tensor: String, member: String)
  case unexpectedMember(path: String, tensor: String, member: String)
  case wrongMember(path: String, tensor: String, member: String, found: String, expected: String)
  case unknownKind(path: String, tensor: String, found: String)
  /// The product of the extents, or the size in bytes, does not fit in 63 bits.
  case shapeOverflows(path: String, tensor: String, extents: [Int], kind: ElementKind)
  /// Elements narrower than a byte that do not fill the last byte.
  case partOfByte(path: String, tensor: String, shape: Shape, kind: ElementKind)
  case offsetsReversed(path: String, tensor: String, begin: Int, end: Int)
  case sizeDisagrees(
    path: String, tensor: String, shape: Shape, kind: ElementKind, found: Int, expected: Int)
  /// The file ends within a tensor. `end` and `available` are the bytes that the file should have
  /// and those that it has.
  case beyondFile(path: String, tensor: String, end: Int, available: Int)
  case overlap(path: String, tensor: String, begin: Int, other: String, otherEnd: Int)
  case hole(path: String, tensor: String, begin: Int, expected: Int)
  case trailingBytes(path: String, count: Int)

  package var description: String {
    switch self {
    case .unreadable(let error):
      return error.description
    case .pointer(let path):
      return gitLFSPointer(path)
    case .tooShort(let path, let bytes):
      return
        "\(path): the file has \(bytes) bytes, expected at least the 8 bytes of a safetensors header's length"
    case .headerTooLong(let path, let bytes, let limit):
      return
        "\(path): the header's length is \(bytes) bytes, expected at most \(limit); the file is "
        + "damaged or not a safetensors file"
    case .headerBeyondFile(let path, let bytes, let available):
      return
        "\(path): the header's length is \(bytes) bytes, but only \(available) bytes follow; the file "
        + "is incomplete or not a safetensors file"
    case .headerStart(let path, let found):
      let seen = found.map { "begins with byte 0x\(hexadecimalText($0))" } ?? "is empty"
      return "\(path): the header \(seen), expected '{'; this is not a safetensors file"
    case .headerNotJSON(let path, let error):
      return "\(path): the header is invalid JSON: \(error)"
    case .tooManyTensors(let path, let limit):
      return "\(path): the header has more than \(limit) tensors, which no model has"
    case .longName(let path, let name, let limit):
      return Self.about(path, name)
        + "the name has \(name.utf8.count) bytes, expected at most \(limit)"
    case .metadataTooLong(let path, let limit):
      return "\(path): '__metadata__' has more than \(limit) members"
    case .metadataNotObject(let path, let found):
      return "\(path): '__metadata__' is \(found), expected an object"
    case .metadataNotString(let path, let member, let found):
      return "\(path): '__metadata__' member '\(shown(member))' is \(found), expected a string"
    case .tensorNotObject(let path, let tensor, let found):
      return Self.about(path, tensor) + "described by \(found), expected an object"
    case .missingMember(let path, let tensor, let member):
      return Self.about(path, tensor) + "has no '\(member)'"
    case .unexpectedMember(let path, let tensor, let member):
      return Self.about(path, tensor)
        + "has a member '\(shown(member))', expected only dtype, shape and data_offsets"
    case .wrongMember(let path, let tensor, let member, let found, let expected):
      return Self.about(path, tensor) + "\(member) is \(found), expected \(expected)"
    case .unknownKind(let path, let tensor, let found):
      return Self.about(path, tensor) + "unknown dtype '\(shown(found))', expected "
        + ElementKind.allCases.map(\.rawValue).joined(separator: ", ")
    case .shapeOverflows(let path, let tensor, let extents, let kind):
      return Self.about(path, tensor)
        + "shape \(shown(extents.description)) of \(kind.rawValue) takes more than 2^63 bytes"
    case .partOfByte(let path, let tensor, let shape, let kind):
      return Self.about(path, tensor) + "shape \(shown(shape.description)) of \(kind.rawValue), "
        + "which has \(kind.bitWidth) bits, does not fill whole bytes"
    case .offsetsReversed(let path, let tensor, let begin, let end):
      return Self.about(path, tensor) + "begins at byte \(begin) and ends before that, at \(end)"
    case .sizeDisagrees(let path, let tensor, let shape, let kind, let found, let expected):
      return Self.about(path, tensor) + "data_offsets span \(found) bytes, "
        + "shape \(shown(shape.description)) of \(kind.rawValue) takes \(expected)"
    case .beyondFile(let path, let tensor, let end, let available):
      return "\(path): the file ends after \(available) of \(end) bytes, at tensor "
        + "'\(shown(tensor))'"
    case .overlap(let path, let tensor, let begin, let other, let otherEnd):
      return Self.about(path, tensor) + "begins at byte \(begin) of the data, within tensor "
        + "'\(shown(other))', which ends at \(otherEnd)"
    case .hole(let path, let tensor, let begin, let expected):
      return Self.about(path, tensor) + "begins at byte \(begin) of the data, expected "
        + "\(expected), where the tensor before it ends"
    case .trailingBytes(let path, let count):
      return
        "\(path): \(counted(count, "byte")) \(count == 1 ? "follows" : "follow") the last tensor, "
        + "expected none"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .pointer: .pullFromGitLFS
    case .tooShort, .headerBeyondFile, .beyondFile: .downloadAgain
    default: nil
    }
  }

  private static func about(_ path: String, _ tensor: String) -> String {
    "\(path): tensor '\(shown(tensor))': "
  }
}
