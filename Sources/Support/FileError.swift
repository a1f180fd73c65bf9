private import Foundation

/// What the operating system refused.
package struct FileError: Error, Equatable, CustomStringConvertible {
  package enum Operation: String, Sendable {
    case open = "cannot open"
    case map = "cannot map"
    case create = "cannot create"
    case write = "cannot write"
    case rename = "cannot rename"
    case exists = "already exists; pass --force to replace it"
  }

  package let operation: Operation
  package let path: String
  /// `errno` of the call; 0 where there was none.
  package let code: Int32

  package init(_ operation: Operation, _ path: String, _ code: Int32 = 0) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  package var description: String {
    if operation == .exists { return "\(path) \(operation.rawValue)" }
    return "\(operation.rawValue) \(path): \(String(cString: strerror(code)))"
  }
}
