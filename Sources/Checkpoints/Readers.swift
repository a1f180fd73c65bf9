private import Foundation
package import ModelSources
package import Support

/// The readers of this module. Workflow adds the reader of `.decant` files.
package enum Readers {
  package static let all: [any ModelReader] = [
    DiffusersFolderReader(),
    SingleFileReader(),
  ]
}

/// The writers of this module. Workflow adds the writer of `.decant` files.
package enum Writers {
  package static let all: [any ModelWriter] = [
    DiffusersFolderWriter(),
    CheckpointWriter(),
    GGUFWriter(),
  ]

  /// The writer of single components. It is no layout of a model, so it is not in ``all``.
  package static let component: any ModelWriter = ComponentWriter()
}

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
      "\(path): \(found), expected \(readable.joined(separator: " or "))"
    case .notWritable(let path, _):
      "\(path): the name does not determine the output format"
    case .unknownWriter(let name, let known):
      "unknown output format '\(shown(name))'; expected \(alternatives(known))"
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

extension [any ModelReader] {
  /// The reader that recognizes the file or folder at `path`.
  ///
  /// - Throws: ``LayoutError``.
  package func reader(for path: String) throws(LayoutError) -> any ModelReader {
    guard let reader = first(where: { $0.recognizes(path) }) else {
      throw .unknown(path, readable: map(\.layout))
    }
    return reader
  }

  /// Reads the model at `path` in any layout.
  package func read(_ path: String, options: ReadOptions = ReadOptions()) throws -> ModelSource {
    try reader(for: path).read(path, options: options)
  }
}

extension [any ModelWriter] {
  /// The writer with a name; without one, the writer that claims the path.
  package func writer(for path: String, named name: String? = nil) throws(LayoutError)
    -> any ModelWriter
  {
    if let name {
      guard let writer = first(where: { $0.name == name }) else {
        throw .unknownWriter(name: name, known: map(\.name))
      }
      return writer
    }
    guard let writer = first(where: { $0.claims(path) }) else {
      throw .notWritable(path: path, writable: map(\.name))
    }
    return writer
  }
}

/// The description of a file that Git LFS left in place of the weights.
let gitLFSPointer = "the file is a Git LFS pointer, not weights"

/// Whether the contents are a Git LFS pointer.
func isGitLFSPointer(_ contents: ByteSlice) -> Bool {
  let signature = [UInt8]("version https://git-lfs".utf8)
  return contents.count >= signature.count
    && contents[0..<signature.count].array == signature
}

/// Describes a file or folder that is not a model.
private func describe(_ path: String) -> String {
  if isFolder(path) { return "a folder that holds \(listed(folderContents(path)))" }
  let contents: ByteSlice
  do { contents = try ByteSlice.mapping(path) } catch { return "not readable (\(error))" }
  if contents.count == 0 { return "an empty file" }
  let head = contents[0..<min(contents.count, 32)].array
  let first = hexadecimalText(Array(head.prefix(8)), separator: " ")
  return "a file of \(contents.count) bytes that begins with \(first)"
}
