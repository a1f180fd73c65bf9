private import Foundation

/// A file operation that failed, with the path and the system's error code.
package struct FileError: RemediableError, Equatable {
  package enum Operation: String, Sendable {
    case open = "cannot open"
    case map = "cannot map"
    case create = "cannot create"
    case write = "cannot write"
    case rename = "cannot rename"
    /// The output exists and may not be replaced.
    case exists = "already exists"
  }

  package let operation: Operation
  package let path: String
  /// `errno` of the call; 0 for ``Operation/exists``.
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

  package var remedy: Remedy? {
    operation == .exists ? .choose(.replace, purpose: "to replace it") : nil
  }
}
