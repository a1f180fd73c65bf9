private import Foundation
import Support

/// Repositories in the cache of huggingface_hub:
///
///     models--ORG--NAME/refs/main              the commit that the branch leads to
///     models--ORG--NAME/snapshots/COMMIT/      the files of a commit, links into blobs/
///     models--ORG--NAME/blobs/
enum HubCache {
  private static let snapshots = "snapshots"
  /// The beginning of the folder names of cached models.
  private static let models = "models--"

  /// Whether a folder is the root of a cached repository.
  private static func isRepository(_ folder: String) -> Bool {
    isFolder("\(folder)/\(snapshots)")
      && (isFolder(folder + "/refs") || isFolder(folder + "/blobs"))
  }

  /// Whether a folder stands for cached repositories: it is the root of one, the folder of its
  /// snapshots, or the cache itself.
  static func holdsRepositories(_ folder: String) -> Bool { !repositories(at: folder).isEmpty }

  /// The roots of the repositories that a folder stands for.
  private static func repositories(at folder: String) -> [String] {
    let folder = folderPath(folder)
    if isRepository(folder) { return [folder] }
    let parts = PathParts(folder)
    if parts.name == snapshots {
      let root = parts.folder.isEmpty ? "." : parts.folder
      if isRepository(root) { return [root] }
    }
    return folderContents(folder).filter { $0.hasPrefix(models) }.map { "\(folder)/\($0)" }
      .filter(isRepository)
  }

  /// The folder with the files of the repository that `folder` stands for: the commit of `main`, else
  /// the only one.
  ///
  /// - Precondition: the folder ``holdsRepositories(_:)``.
  /// - Throws: ``DiffusersError`` for a repository without such a commit, and for a cache with
  ///   more than one model.
  static func snapshot(of folder: String) throws(DiffusersError) -> String {
    let repositories = repositories(at: folder)
    guard repositories.count == 1, let root = repositories.first else {
      throw .severalRepositories(
        folder: folderPath(folder), found: repositories.map { PathParts($0).name })
    }
    let place = "\(root)/\(snapshots)"
    let found = folderContents(place).filter { isFolder("\(place)/\($0)") }
    let branch = root + "/refs/main"
    if let bytes = try? ByteSlice.mapping(branch) {
      let commit = String(decoding: bytes.array.prefix(200), as: UTF8.self)
        .trimmingCharacters(in: .whitespacesAndNewlines)
      guard found.contains(commit) else {
        throw .missingSnapshot(branch: branch, commit: commit, found: found)
      }
      return "\(place)/\(commit)"
    }
    guard found.count == 1 else { throw .ambiguousSnapshot(folder: root, found: found) }
    return "\(place)/\(found[0])"
  }

  /// Whether a folder is a snapshot of a cached repository, or within one.
  static func isInSnapshot(_ folder: String) -> Bool {
    var folder = URL(fileURLWithPath: folder).standardizedFileURL.path
    while folder != "/", !folder.isEmpty {
      let parent = PathParts(folder).folder
      let parts = PathParts(parent)
      if parts.name == snapshots, isRepository(parts.folder) { return true }
      folder = parent
    }
    return false
  }
}
