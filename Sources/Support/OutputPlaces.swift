private import CLinux
private import Foundation

// Where outputs are written: targets of links, names of temporary files, and renaming at the end.

/// Refuses a path at which no output can be written: that of a device, a pipe or a socket, and a name
/// that is longer than the file system allows.
package func checkOutputName(_ path: String) throws(FileError) {
  let parts = PathParts(path)
  if parts.name.utf8.count > nameLimit(of: parts.folder) {
    throw FileError(.create, path, ENAMETOOLONG)
  }
  var status = stat()
  guard stat(path, &status) == 0 else { return }
  switch status.st_mode & S_IFMT {
  case S_IFCHR, S_IFBLK: throw FileError(.isDevice, path)
  case S_IFIFO: throw FileError(.isPipe, path)
  case S_IFSOCK: throw FileError(.isSocket, path)
  default: return
  }
}

/// Checks the path of an output, and removes what runs that were killed left of it.
///
/// - Returns: the path to which the output is renamed.
/// - Throws: ``FileError`` when `path` exists and `replacing` is false, or when no output can be
///   written there.
func preparedDestination(of path: String, replacing: Bool) throws(FileError) -> String {
  try checkOutputName(path)
  if !replacing, access(path, F_OK) == 0 { throw FileError(.exists, path) }
  let destination = try outputDestination(of: path)
  Temporary.removeAbandoned(of: destination)
  return destination
}

/// The path in the same folder whose name is that of `path` followed by `ending`. If that is longer
/// than the file system allows, the end of the name is left out.
package func siblingPath(of path: String, ending: String) -> String {
  let parts = PathParts(path)
  let limit = nameLimit(of: parts.folder)
  return parts.sibling(prefix(of: parts.name, bytes: limit - ending.utf8.count) + ending)
}

/// The path to which an output is renamed: the target of a symbolic link, also where the target does
/// not exist yet, and otherwise `path`.
func outputDestination(of path: String) throws(FileError) -> String {
  var place = path
  // As many links as Linux follows.
  for _ in 0..<40 {
    var status = stat()
    guard lstat(place, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return place }
    if let target = realpath(place, nil) {
      defer { free(target) }
      guard let text = String(validatingCString: target) else {
        throw FileError(.create, path, EILSEQ)
      }
      return text
    }
    guard errno == ENOENT else { throw FileError(.create, path, errno) }
    guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: place) else {
      throw FileError(.create, path, ENOENT)
    }
    place = target.hasPrefix("/") ? target : PathParts(place).sibling(target)
  }
  throw FileError(.create, path, ELOOP)
}

// MARK: - Temporary names

/// The bytes that a name in a folder may have.
private func nameLimit(of folder: String) -> Int {
  let limit = pathconf(folder.isEmpty ? "." : folder, Int32(_PC_NAME_MAX))
  return limit > 0 ? limit : 255
}

/// The beginning of a text, at most `bytes` bytes of UTF-8.
private func prefix(of text: String, bytes: Int) -> String {
  var text = text[...]
  while text.utf8.count > bytes { text.removeLast() }
  return String(text)
}

private let temporaryMark = ".decant-"
private let temporaryEnding = ".partial"
private let tagDigits = 16

/// The part of a temporary name before the tag: a dot, as much of the name as fits, and a mark.
private func temporaryBeginning(of parts: PathParts, ending: String = temporaryEnding) -> String {
  let rest = 1 + temporaryMark.utf8.count + tagDigits + ending.utf8.count
  return "." + prefix(of: parts.name, bytes: nameLimit(of: parts.folder) - rest) + temporaryMark
}

/// An unused name in the same folder: `.name.decant-1f3a….partial`.
private func temporaryPath(of path: String, ending: String = temporaryEnding) -> String {
  let parts = PathParts(path)
  let tag = hexadecimalText(UInt64.random(in: .min ... .max))
  return parts.sibling(temporaryBeginning(of: parts, ending: ending) + tag + ending)
}

/// A temporary file or folder. Its process holds a lock on it, which the system releases when the
/// process ends, however it ends.
struct Temporary {
  let path: String
  /// Holds the lock.
  let descriptor: Int32

  /// Creates a file that only this user can read, or a folder.
  ///
  /// - Parameters:
  ///   - destination: the path that it gets when it is complete.
  ///   - mode: its permissions.
  init(
    of destination: String, shownAs path: String, isFolder: Bool, mode: UInt32
  ) throws(FileError) {
    while true {
      let place = temporaryPath(of: destination)
      if isFolder, mkdir(place, mode) != 0 { throw FileError(.create, path, errno) }
      let descriptor = open(
        place,
        O_CLOEXEC | (isFolder ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT | O_EXCL), mode)
      guard descriptor >= 0 else {
        let code = errno
        if isFolder { rmdir(place) }
        throw FileError(.create, path, code)
      }
      // Some file systems have no locks; there, nothing is removed as abandoned either.
      while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
      if access(place, F_OK) == 0 {
        self.path = place
        self.descriptor = descriptor
        return
      }
      // Another process removed it as abandoned before it was locked.
      close(descriptor)
    }
  }

  /// Removes the temporary files and folders of an output whose processes ended without removing
  /// them. Those of running processes are locked and stay.
  static func removeAbandoned(of destination: String) {
    let parts = PathParts(destination)
    let names = try? FileManager.default.contentsOfDirectory(
      atPath: parts.folder.isEmpty ? "." : parts.folder)
    let beginning = temporaryBeginning(of: parts)
    for name in names ?? [] where name.hasPrefix(beginning) && name.hasSuffix(temporaryEnding) {
      let tag = name.dropFirst(beginning.count).dropLast(temporaryEnding.count)
      guard tag.count == tagDigits, tag.allSatisfy(\.isHexDigit) else { continue }
      let place = parts.sibling(name)
      var descriptor = open(place, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
      if descriptor < 0, errno == EISDIR {
        descriptor = open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      }
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { removeTree(place) }
      close(descriptor)
    }
  }
}

/// Removes a file, a symbolic link, or a folder with its contents. Errors are ignored.
func removeTree(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

// MARK: - Renaming

/// What happened to what was at an output's path before.
enum Placement {
  /// Nothing was there.
  case new
  /// The file was replaced and is gone.
  case overwritten
  /// It is now at this path.
  case moved(String)
}

/// Renames a complete temporary file or folder to its name. What it replaces gives it its permissions
/// and, where the process may change it, its owner.
///
/// - Parameters:
///   - path: the output, for messages.
///   - exchanging: whether what is replaced is kept, by an exchange of both in one step, so that a
///     complete output is at the path at every moment. Some file systems do not support the exchange.
///     There, a file is overwritten; a folder is renamed first, and the path does not exist until the
///     second rename.
func place(
  _ temporary: String, at destination: String, shownAs path: String, replacing: Bool,
  exchanging: Bool
) throws(FileError) -> Placement {
  if !replacing {
    try renameToUnusedName(temporary, destination, shownAs: path)
    return .new
  }
  var old = stat()
  let isReplacing = lstat(destination, &old) == 0
  if isReplacing { keepAccess(of: destination, for: temporary) }
  // Moving a folder that the process may not write to fails, so a folder's own permissions are last.
  defer { if isReplacing, old.st_mode & S_IFMT == S_IFDIR { keepAccess(old, for: destination) } }
  if isReplacing, exchanging, try exchange(temporary, destination, shownAs: path) {
    return .moved(temporary)
  }
  guard isReplacing, isFolder(temporary) else {
    if rename(temporary, destination) != 0 { throw FileError(.rename, path, errno) }
    return isReplacing ? .overwritten : .new
  }
  // It does not have the ending of temporary folders, which the next run would remove.
  let moved = temporaryPath(of: destination, ending: ".replaced")
  if rename(destination, moved) != 0 { throw FileError(.rename, path, errno) }
  if rename(temporary, destination) != 0 {
    let code = errno
    rename(moved, destination)
    throw FileError(.rename, path, code)
  }
  return .moved(moved)
}

/// Error codes of a file system that does not support a kind of rename.
private let unsupported = [EINVAL, ENOSYS, ENOTSUP]

/// Exchanges the names of two files or folders in one step.
///
/// - Returns: `false` when the kernel or the file system does not support it.
func exchange(
  _ temporary: String, _ destination: String, shownAs path: String
) throws(FileError) -> Bool {
  if renameat2(AT_FDCWD, temporary, AT_FDCWD, destination, DECANT_RENAME_EXCHANGE) == 0 {
    return true
  }
  let code = errno
  if unsupported.contains(code) { return false }
  throw FileError(.rename, path, code)
}

/// Renames a file or folder, but never replaces what was created in the meantime.
private func renameToUnusedName(
  _ temporary: String, _ destination: String, shownAs path: String
) throws(FileError) {
  if renameat2(AT_FDCWD, temporary, AT_FDCWD, destination, DECANT_RENAME_NOREPLACE) == 0 { return }
  var code = errno
  if unsupported.contains(code) {
    // A hard link never replaces a file either. Some file systems have no hard links, and folders
    // have none.
    if link(temporary, destination) == 0 {
      unlink(temporary)
      return
    }
    code = errno
    if code != EEXIST {
      if access(destination, F_OK) == 0 { throw FileError(.exists, path) }
      if rename(temporary, destination) == 0 { return }
      code = errno
    }
  }
  throw code == EEXIST ? FileError(.exists, path) : FileError(.rename, path, code)
}

/// Gives new files the permissions and the owner of the old ones: a file, or all files and subfolders
/// of a folder with the same names.
private func keepAccess(of old: String, for new: String) {
  var (before, after) = (stat(), stat())
  guard lstat(old, &before) == 0, lstat(new, &after) == 0,
    before.st_mode & S_IFMT == after.st_mode & S_IFMT
  else { return }
  switch after.st_mode & S_IFMT {
  case S_IFREG: keepAccess(before, for: new)
  case S_IFDIR:
    for name in (try? FileManager.default.contentsOfDirectory(atPath: new)) ?? [] {
      let (oldItem, newItem) = (old + "/" + name, new + "/" + name)
      keepAccess(of: oldItem, for: newItem)
      if lstat(oldItem, &before) == 0, before.st_mode & S_IFMT == S_IFDIR, isFolder(newItem) {
        keepAccess(before, for: newItem)
      }
    }
  default: return
  }
}

/// Gives a file or folder the permissions of another one, and its owner and group where permitted.
private func keepAccess(_ old: stat, for path: String) {
  if lchown(path, old.st_uid, old.st_gid) != 0 { _ = lchown(path, uid_t.max, old.st_gid) }
  chmod(path, old.st_mode & 0o777)
}
