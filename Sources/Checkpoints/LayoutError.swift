private import Foundation
package import Support

/// Why no reader recognizes a path, or no writer claims it.
package enum LayoutError: RemediableError, Equatable {
  case nothingThere(path: String)
  /// A file that Git LFS left in place of the weights.
  case pointer(path: String)
  case notRecognized(path: String, found: String, readable: [String])
  case notWritable(path: String, writable: [String])
  case unknownWriter(name: String, known: [String])

  package var description: String {
    switch self {
    case .nothingThere(let path):
      "\(path): there is no such file or folder"
    case .pointer(let path):
      "\(path): \(gitLFSPointer)"
    case .notRecognized(let path, let found, let readable):
      "\(path): \(found), expected a \(alternatives(readable))"
    case .notWritable(let path, _):
      "\(path): the name does not determine the output format"
    case .unknownWriter(let name, let known):
      "unknown output format '\(shown(name))'\(didYouMean(similarNames(to: name, among: known)))"
        + "; expected \(alternatives(known))"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .notWritable(_, let writable): .choose(.outputFormat, writable)
    case .pointer: .pullFromGitLFS
    default: nil
    }
  }
}

extension LayoutError {
  /// The error for a file or folder of a kind that is not `readable`.
  static func unknown(_ path: String, readable: [String]) -> LayoutError {
    guard FileManager.default.fileExists(atPath: path) else { return .nothingThere(path: path) }
    if let contents = try? ByteSlice.mapping(path), isGitLFSPointer(contents) {
      return .pointer(path: path)
    }
    return .notRecognized(path: path, found: describe(path), readable: readable)
  }
}

/// Describes a file or folder that is not a model.
private func describe(_ path: String) -> String {
  if isFolder(path) { return "a folder that holds \(listed(folderContents(path)))" }
  do { return fileKind(try ByteSlice.mapping(path)) } catch { return "not readable (\(error))" }
}
