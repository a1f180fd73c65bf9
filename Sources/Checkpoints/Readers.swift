private import Foundation
package import ModelSources
internal import Support

/// The layouts that this room reads, a line each. Decant's own file is added by who knows it.
package enum Readers {
  package static let all: [any ModelReader] = [
    DiffusersFolderReader(),
    SingleFileReader(),
  ]
}

/// The layouts that this room writes, a line each.
package enum Writers {
  package static let all: [any ModelWriter] = [
    DiffusersFolderWriter(),
    CheckpointWriter(),
    GGUFWriter(),
  ]
}

/// Why no reader takes a path, or no writer.
package enum LayoutError: Error, Equatable, CustomStringConvertible {
  case nothingThere(path: String)
  case notRecognized(path: String, found: String, readable: [String])
  case notWritable(path: String, writable: [String])
  case unknownWriter(name: String, known: [String])

  package var description: String {
    switch self {
    case .nothingThere(let path):
      "\(path): there is no such file or folder"
    case .notRecognized(let path, let found, let readable):
      "\(path): \(found), which is no model that is known here; readable are \(listed(readable))"
    case .notWritable(let path, let writable):
      "\(path): the name says nothing about what to write; writable with --to are "
        + listed(writable)
    case .unknownWriter(let name, let known):
      "'\(shown(name))' is nothing to write a model as, known are \(listed(known))"
    }
  }
}

extension LayoutError {
  /// Says what stands at `path`, where nothing was expected but what is `readable`.
  static func unknown(_ path: String, readable: [String]) -> LayoutError {
    guard FileManager.default.fileExists(atPath: path) else { return .nothingThere(path: path) }
    return .notRecognized(path: path, found: describe(path), readable: readable)
  }
}

extension [any ModelReader] {
  /// The reader that recognizes what stands at `path`.
  ///
  /// - Throws: ``LayoutError`` with what was found and what is readable.
  package func reader(for path: String) throws(LayoutError) -> any ModelReader {
    guard let reader = first(where: { $0.recognizes(path) }) else {
      throw .unknown(path, readable: map(\.layout))
    }
    return reader
  }

  /// The model at `path`, whatever its layout.
  package func read(_ path: String, options: ReadOptions = ReadOptions()) throws -> ModelSource {
    try reader(for: path).read(path, options: options)
  }
}

extension [any ModelWriter] {
  /// The writer called `name`, or the one that an output of this name is for.
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

/// First bytes of what people take for models.
private let signatures: [(bytes: [UInt8], offset: Int, meaning: String)] = [
  ([UInt8]("version https://git-lfs".utf8), 0, "a pointer of Git LFS instead of the file itself")
]

/// What stands at `path`, for who expected a model.
private func describe(_ path: String) -> String {
  if isFolder(path) { return "a folder that holds \(listed(folderContents(path)))" }
  let contents: ByteSlice
  do { contents = try ByteSlice.mapping(path) } catch { return "not readable (\(error))" }
  if contents.count == 0 { return "an empty file" }
  let head = contents[0..<min(contents.count, 32)].array
  for (bytes, offset, meaning) in signatures where head.dropFirst(offset).starts(with: bytes) {
    return meaning
  }
  let first = hexadecimalText(Array(head.prefix(8)), separator: " ")
  return "a file of \(contents.count) bytes that begins with \(first)"
}
