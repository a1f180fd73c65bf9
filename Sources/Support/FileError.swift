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
    // Something that is no output.
    case isDevice = "is a device"
    case isPipe = "is a pipe"
    case isSocket = "is a socket"
  }

  package let operation: Operation
  package let path: String
  /// `errno` of the call; 0 where no call failed.
  package let code: Int32

  package init(_ operation: Operation, _ path: String, _ code: Int32 = 0) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  package var description: String {
    switch operation {
    case .exists: "\(path) \(operation.rawValue)"
    case .isDevice, .isPipe, .isSocket:
      "\(path) \(operation.rawValue); outputs are files and folders"
    case .open, .map, .create, .write, .rename:
      "\(operation.rawValue) \(path): \(String(cString: strerror(code)))"
    }
  }

  package var remedy: Remedy? {
    switch operation {
    case .exists: .choose(.replace, purpose: "to replace it")
    case .isDevice, .isPipe, .isSocket: .renameOutput
    case .open, .map, .create, .write, .rename: nil
    }
  }
}
