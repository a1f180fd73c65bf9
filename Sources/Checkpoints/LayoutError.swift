private import Foundation
package import Support

/// Why no reader recognizes a path, or no writer claims it.
package enum LayoutError: RemediableError, Equatable {
  case nothingThere(path: String)
  /// A file that Git LFS left in place of the model's.
  case pointer(path: String)
  /// A symbolic link to a file that does not exist.
  case danglingLink(path: String, target: String)
  /// A file that a download program left, beside or in place of the whole file.
  case unfinished(path: String, leftover: String)
  case notRecognized(path: String, found: String, readable: [String])
  case notWritable(path: String, writable: [String])
  case unknownWriter(name: String, known: [String])

  package var description: String {
    switch self {
    case .nothingThere(let path):
      "\(path): there is no such file or folder"
    case .pointer(let path):
      gitLFSPointer(path)
    case .danglingLink(let path, let target):
      "\(path): a symbolic link to '\(shown(target))', which does not exist"
    case .unfinished(let path, let leftover):
      "\(path): the download is not finished, as the file '\(shown(leftover))' shows"
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
    case .danglingLink, .unfinished: .downloadAgain
    case .notRecognized(let path, let found, _):
      ErrorPage.isLeft(found, at: path)
        ? .downloadAgain : isFolder(path) ? nameAModelFile(in: path) : nil
    default: nil
    }
  }
}

extension LayoutError {
  /// The error for a file or folder of a kind that is not `readable`.
  static func unknown(_ path: String, readable: [String]) -> LayoutError {
    guard FileManager.default.fileExists(atPath: path) else { return .nothingThere(path: path) }
    return .notRecognized(path: path, found: describe(path), readable: readable)
  }

  /// What is wrong with a file that was not downloaded, such as a Git LFS pointer, or not to its
  /// end; `nil` for other files and where nothing of the name exists.
  static func downloadFault(of path: String) -> LayoutError? {
    let exists = FileManager.default.fileExists(atPath: path)
    let endings = exists && !isEmptyFile(path) ? wholeSizeEndings : unfinishedEndings
    if let leftover = leftover(of: path, endings) {
      return .unfinished(path: path, leftover: leftover)
    }
    if !exists, let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path) {
      // huggingface_hub's links lead to files that get their names last.
      let place = target.hasPrefix("/") ? target : PathParts(path).sibling(target)
      if let leftover = leftover(of: place, endings) {
        return .unfinished(path: path, leftover: leftover)
      }
      return .danglingLink(path: path, target: target)
    }
    guard isFile(path), let contents = try? ByteSlice.mapping(path), isGitLFSPointer(contents)
    else { return nil }
    return .pointer(path: path)
  }

  /// The name of a file without the ending that a download program appends until it is complete;
  /// `nil` for other files.
  static func wholeName(ofUnfinished file: String) -> String? {
    unfinishedEndings.first { file.hasSuffix($0) }.map { String(file.dropLast($0.count)) }
  }
}

/// What browsers and download programs append to the name of a file until it is complete.
private let unfinishedEndings = [".incomplete", ".part", ".crdownload", ".aria2", ".download"]
/// The same for programs that give a file its whole size at once and fill it later.
private let wholeSizeEndings = [".aria2"]

/// The name of a file that a download program left beside the file at `path`.
private func leftover(of path: String, _ endings: [String]) -> String? {
  let parts = PathParts(path)
  return endings.map { parts.name + $0 }.first {
    FileManager.default.fileExists(atPath: parts.sibling($0))
  }
}

private func isEmptyFile(_ path: String) -> Bool {
  isFile(path) && (try? ByteSlice.mapping(path))?.count == 0
}

/// The remedy for a folder that is no model and holds files of tensors; `nil` for other folders.
func nameAModelFile(in folder: String) -> Remedy? {
  let files = folderContents(folder).filter(isTensorFileName)
  guard let first = files.first else { return nil }
  let name = "\(folderPath(folder))/\(shown(first))"
  return .act(files.count == 1 ? "name the file \(name)" : "name one of its files, such as \(name)")
}

/// Describes a file or folder that is not a model.
private func describe(_ path: String) -> String {
  if isFolder(path) { return "a folder that holds \(listed(folderContents(path)))" }
  do { return fileKind(try ByteSlice.mapping(path)) } catch { return "not readable (\(error))" }
}
