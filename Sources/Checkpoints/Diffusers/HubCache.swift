private import Foundation
import Support

/// A repository in the cache of huggingface_hub:
///
///     models--ORG--NAME/refs/main              the commit that the branch leads to
///     models--ORG--NAME/snapshots/COMMIT/      the files of a commit, links into blobs/
///     models--ORG--NAME/blobs/
enum HubCache {
  /// Whether a folder is the root of a cached repository.
  static func isRepository(_ folder: String) -> Bool {
    isFolder(folder + "/snapshots") && (isFolder(folder + "/refs") || isFolder(folder + "/blobs"))
  }

  /// The folder with the files of a cached repository: the commit of `main`, else the only one.
  ///
  /// - Throws: ``DiffusersError`` for a repository without such a commit.
  static func snapshot(of folder: String) throws(DiffusersError) -> String {
    let place = folder + "/snapshots"
    let found = folderContents(place).filter { isFolder("\(place)/\($0)") }
    let branch = folder + "/refs/main"
    if let bytes = try? ByteSlice.mapping(branch) {
      let commit = String(decoding: bytes.array.prefix(200), as: UTF8.self)
        .trimmingCharacters(in: .whitespacesAndNewlines)
      guard found.contains(commit) else {
        throw .missingSnapshot(branch: branch, commit: commit, found: found)
      }
      return "\(place)/\(commit)"
    }
    guard found.count == 1 else { throw .ambiguousSnapshot(folder: folder, found: found) }
    return "\(place)/\(found[0])"
  }
}
