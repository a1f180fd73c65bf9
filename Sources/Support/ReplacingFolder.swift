private import CLinux
private import Foundation

/// A folder that is written to a temporary sibling and put in its place by ``commit(exchanging:)``.
///
/// Until then an existing folder stays unchanged. Without a commit, the sibling is removed when the
/// object is deallocated.
package final class ReplacingFolder {
  package let path: String
  private let replacing: Bool
  /// The temporary folder. Files that are written to it move with the commit.
  package let staging: String
  private var isCommitted = false

  /// - Throws: ``FileError`` when `path` exists and `replacing` is false, or when the sibling
  ///   cannot be created.
  package init(path: String, replacing: Bool) throws(FileError) {
    self.path = folderPath(path)
    self.replacing = replacing
    if !replacing, access(self.path, F_OK) == 0 { throw FileError(.exists, self.path) }
    staging = siblingPath(of: self.path)
    guard mkdir(staging, 0o755) == 0 else { throw FileError(.create, self.path, errno) }
  }

  deinit { if !isCommitted { removeTree(staging) } }

  /// Creates a file in the folder, and the subfolders that its name contains.
  package func file(_ name: String) throws(FileError) -> ReplacingFile {
    let shown = path + "/" + name
    var folder = staging
    for part in name.split(separator: "/").dropLast() {
      folder += "/" + part
      if mkdir(folder, 0o755) != 0, errno != EEXIST { throw FileError(.create, shown, errno) }
    }
    if access(staging + "/" + name, F_OK) == 0 { throw FileError(.create, shown, EEXIST) }
    return try ReplacingFile(at: staging + "/" + name, shownAs: shown, replacing: false)
  }

  /// Puts the folder in its place, then removes the folder that it replaces.
  ///
  /// The new and the old folder are exchanged in one step, so that a complete folder is at `path`
  /// at every moment. Some file systems do not support the exchange. There, the old folder is
  /// renamed first, and `path` does not exist until the second rename.
  ///
  /// - Parameter exchanging: `false` skips the exchange, as on a file system without support for
  ///   it.
  ///
  /// - Throws: ``FileError`` when a file that the job mapped became shorter or was changed, or when a
  ///   call fails.
  package func commit(exchanging: Bool = true) throws(FileError) {
    try MappedFiles.current?.check()
    // Committing a file flushes the file's folder. This flushes the folder of the subfolders'
    // names.
    syncFolder(of: staging + "/.")
    let isReplacing = replacing && access(path, F_OK) == 0
    var removed: String?
    if isReplacing, exchanging, try exchangePlaces() {
      removed = staging
    } else {
      let old = siblingPath(of: path)
      if isReplacing, rename(path, old) != 0 { throw FileError(.rename, path, errno) }
      guard rename(staging, path) == 0 else {
        let code = errno
        if isReplacing { rename(old, path) }
        throw FileError(.rename, path, code)
      }
      if isReplacing { removed = old }
    }
    isCommitted = true
    syncFolder(of: path)
    if let removed { removeTree(removed) }
  }

  /// Exchanges the names of the new and the old folder.
  ///
  /// - Returns: `false` when the kernel or the file system does not support it.
  private func exchangePlaces() throws(FileError) -> Bool {
    if renameat2(AT_FDCWD, staging, AT_FDCWD, path, DECANT_RENAME_EXCHANGE) == 0 { return true }
    let code = errno
    if [EINVAL, ENOSYS, ENOTSUP].contains(code) { return false }
    throw FileError(.rename, path, code)
  }
}

/// Removes a file, a symbolic link, or a folder with its contents. Errors are ignored.
private func removeTree(_ path: String) { try? FileManager.default.removeItem(atPath: path) }
