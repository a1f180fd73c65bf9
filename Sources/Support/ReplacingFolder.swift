private import Foundation

/// A folder that is written to a temporary sibling and put in its place by ``commit(exchanging:)``.
///
/// Until then an existing folder stays unchanged. Without a commit, the sibling is removed when the
/// object is deallocated, or by the next run if the process is killed. At a symbolic link, the link
/// stays and the folder that it points to is written.
package final class ReplacingFolder {
  package let path: String
  /// The path to which the folder is renamed. For a symbolic link it differs from ``path``.
  private let destination: String
  private let replacing: Bool
  private let temporary: Temporary
  private var isCommitted = false

  /// - Throws: ``FileError`` when `path` exists and `replacing` is false, when its name is too long, or
  ///   when the sibling cannot be created.
  package init(path: String, replacing: Bool) throws(FileError) {
    self.path = folderPath(path)
    self.replacing = replacing
    destination = try preparedDestination(of: self.path, replacing: replacing)
    temporary = try Temporary(of: destination, shownAs: self.path, isFolder: true, mode: 0o755)
  }

  deinit {
    if !isCommitted { removeTree(temporary.path) }
    close(temporary.descriptor)
  }

  /// The temporary folder. Files that are written to it move with the commit.
  package var staging: String { temporary.path }

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

  /// Puts the folder in its place, then removes the folder that it replaces. Files that it replaces
  /// give the new ones their permissions, and their owners where permitted.
  ///
  /// - Parameter exchanging: `false` does not exchange both folders in one step, as on a file system
  ///   without support for it.
  ///
  /// - Throws: ``FileError`` when a file that the job mapped became shorter or was changed, or when a
  ///   call fails.
  package func commit(exchanging: Bool = true) throws(FileError) {
    try MappedFiles.current?.check()
    // Committing a file flushes the file's folder. This flushes the folder of the subfolders'
    // names.
    syncFolder(of: staging + "/.")
    let placement = try place(
      staging, at: destination, shownAs: path, replacing: replacing, exchanging: exchanging)
    isCommitted = true
    syncFolder(of: destination)
    if case .moved(let old) = placement { removeTree(old) }
  }
}
