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
    case read = "cannot read"
    /// A mapped file lost bytes after it was opened.
    case shortened = "the file became shorter while it was read"
    /// Another program wrote to a mapped file.
    case changed = "the file was changed while it was read"
    /// Something that is no output.
    case isDevice = "is a device"
    case isPipe = "is a pipe"
    case isSocket = "is a socket"
  }

  package let operation: Operation
  package let path: String
  /// `errno` of the call; 0 where no call failed.
  package let code: Int32
  /// The file's bytes for ``Operation/shortened``: now, and when it was opened.
  private var bytes = 0
  private var openedBytes = 0

  package init(_ operation: Operation, _ path: String, _ code: Int32 = 0) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// A file that has `bytes` bytes, and had `opened` when it was opened.
  package static func shortened(_ path: String, bytes: Int, opened: Int) -> FileError {
    var error = FileError(.shortened, path)
    (error.bytes, error.openedBytes) = (bytes, opened)
    return error
  }

  /// The same error of a file with another path in messages.
  func renamed(_ path: String) -> FileError {
    var error = FileError(operation, path, code)
    (error.bytes, error.openedBytes) = (bytes, openedBytes)
    return error
  }

  /// Whether the error is of an input that changed while it was read, so that what was read may be
  /// wrong.
  package var isOfChangedInput: Bool { operation == .shortened || operation == .changed }

  package var description: String {
    switch operation {
    case .exists: "\(path) \(operation.rawValue)"
    case .shortened: "\(path): \(operation.rawValue): \(bytes) bytes, was \(openedBytes)"
    case .changed: "\(path): \(operation.rawValue)"
    case .isDevice, .isPipe, .isSocket:
      "\(path) \(operation.rawValue); outputs are files and folders"
    case .open, .map, .create, .write, .rename, .read:
      "\(operation.rawValue) \(path): \(String(cString: strerror(code)))"
    }
  }

  package var remedy: Remedy? {
    switch operation {
    case .exists: .choose(.replace, purpose: "to replace it")
    case .shortened, .changed: .act("try again when no other program writes to it")
    case .isDevice, .isPipe, .isSocket: .renameOutput
    case .open, .map, .create, .write, .rename, .read: nil
    }
  }
}
