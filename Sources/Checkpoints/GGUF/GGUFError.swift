package import Support
package import Tensors

/// Why a file is not a valid GGUF file, or a model cannot be written as one.
package enum GGUFError: RemediableError, Equatable {
  case unreadable(FileError)
  case version(path: String, found: String)
  /// The file ends before the bytes of something that it announces.
  case truncated(path: String, at: Int, reading: String)
  /// More bytes than a header may have.
  case headerTooLong(path: String, limit: Int, reading: String)
  case malformed(path: String, what: String, found: String, expected: String)
  case tensor(path: String, name: String, found: String, expected: String)
  /// A tensor that ends after the last byte of the file.
  case beyondFile(path: String, name: String, begin: Int, size: Int, bytes: Int)
  case duplicateName(path: String, name: String)
  case unsupportedType(path: String, name: String, type: UInt32, known: [String])

  // Writing.
  case unsupportedEncoding(path: String, name: String, encoding: TensorEncoding)
  case changed(path: String, name: String)

  package var description: String {
    switch self {
    case .unreadable(let error): error.description
    case .version(let path, let found):
      "\(path): a GGUF file \(found); expected version 2 or 3, little-endian"
    case .truncated(let path, let at, let reading):
      "\(path): ends at byte \(at), expected \(reading) there"
    case .headerTooLong(let path, let limit, let reading):
      "\(path): the header has more than \(limit) bytes, with \(reading)"
    case .malformed(let path, let what, let found, let expected):
      "\(path): \(what) is \(found), expected \(expected)"
    case .tensor(let path, let name, let found, let expected):
      "\(path): tensor '\(shown(name))' \(found), expected \(expected)"
    case .beyondFile(let path, let name, let begin, let size, let bytes):
      "\(path): tensor '\(shown(name))' has \(size) bytes from byte \(begin) on, but the file has "
        + "\(bytes) bytes"
    case .duplicateName(let path, let name):
      "\(path): the name '\(shown(name))' occurs twice"
    case .unsupportedType(let path, let name, let type, let known):
      "\(path): tensor '\(shown(name))' has the ggml type \(type); expected "
        + known.joined(separator: ", ")
    case .unsupportedEncoding(let path, let name, let encoding):
      "\(path): tensor '\(shown(name))' is \(encoding.name), which GGUF has no type for"
    case .changed(let path, let name):
      "\(path): tensor '\(shown(name))' changed its shape or encoding while it was written"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .truncated, .beyondFile: .downloadAgain
    case .unsupportedEncoding:
      .either([
        .quantizeOriginal, .choose(.type, [TensorEncoding.plain(.f16).name]),
      ])
    default: nil
    }
  }
}
