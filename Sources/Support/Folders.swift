private import Foundation

/// Whether `path` is a folder, or a symbolic link to one.
package func isFolder(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Whether `path` is a file, or a symbolic link to one.
package func isFile(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
}

/// Whether this process may write to the file or folder at `path`.
package func isWritable(_ path: String) -> Bool { access(path, W_OK) == 0 }

/// The number of bytes that this process can write to the folder that contains `path`.
///
/// Blocks that the file system reserves for the superuser are not counted.
///
/// - Returns: `nil` when the folder does not exist or its file system cannot be queried.
package func freeBytes(forWriting path: String) -> Int? {
  let folder = PathParts(path).folder
  var status = statvfs()
  guard statvfs(folder.isEmpty ? "." : folder, &status) == 0 else { return nil }
  let (bytes, overflow) = UInt(status.f_bavail).multipliedReportingOverflow(
    by: UInt(status.f_frsize))
  return overflow ? .max : Int(clamping: bytes)
}

/// Flushes the folder that contains `path` to the disk. Without this, a power failure could undo a
/// rename.
///
/// - Returns: whether the flush succeeded. A failure is harmless to what was written: some folders
///   cannot be read, and some file systems do not support flushing a folder.
@discardableResult
package func syncFolder(of path: String) -> Bool {
  let folder = PathParts(path).folder
  let descriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard descriptor >= 0 else { return false }
  defer { close(descriptor) }
  return fsync(descriptor) == 0
}
