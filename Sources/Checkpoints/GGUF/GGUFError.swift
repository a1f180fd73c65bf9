package import Support
package import Tensors

/// Why a file is not the GGUF it should be, or a model cannot be written as one.
package enum GGUFError: Error, Equatable, CustomStringConvertible {
  case unreadable(FileError)
  case version(path: String, found: String)
  /// The file ends where something is said to lie.
  case truncated(path: String, at: Int, reading: String)
  case malformed(path: String, what: String, found: String, expected: String)
  case tensor(path: String, name: String, found: String, expected: String)
  case duplicateName(path: String, name: String)
  case unsupportedType(path: String, name: String, type: UInt32, known: [String])

  // Writing.
  case unsupportedEncoding(path: String, name: String, encoding: TensorEncoding)
  case changed(path: String, name: String)

  package var description: String {
    switch self {
    case .unreadable(let error): error.description
    case .version(let path, let found):
      "\(path): a GGUF file \(found); versions 2 and 3, little-endian, are read"
    case .truncated(let path, let at, let reading):
      "\(path): ends at byte \(at), where \(reading) is expected; it is probably an incomplete "
        + "download, fetch it again"
    case .malformed(let path, let what, let found, let expected):
      "\(path): \(what) is \(found), expected \(expected)"
    case .tensor(let path, let name, let found, let expected):
      "\(path): tensor '\(shown(name))' \(found), expected \(expected)"
    case .duplicateName(let path, let name):
      "\(path): the name '\(shown(name))' occurs twice"
    case .unsupportedType(let path, let name, let type, let known):
      "\(path): tensor '\(shown(name))' is of ggml type \(type), which is not read; known are "
        + known.joined(separator: ", ")
    case .unsupportedEncoding(let path, let name, let encoding):
      "\(path): tensor '\(shown(name))' is \(encoding.name), which GGUF has no type for; quantize "
        + "the model that it was made from into NAME.gguf, or convert with --type f16"
    case .changed(let path, let name):
      "\(path): tensor '\(shown(name))' came otherwise than it was announced"
    }
  }
}
