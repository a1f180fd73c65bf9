private import CMalloc
private import Foundation

/// A file that appears whole or not at all: written beside its place, flushed, then renamed.
///
/// Whatever happens before ``commit()``, the place keeps what it held, and the sibling is removed
/// when the value goes.
package final class ReplacingFile {
  package let path: String
  private let place: String
  private let replacing: Bool
  private let temporary: String
  private var descriptor: Int32
  private var pending: [UInt8] = []
  /// Bytes written so far.
  package private(set) var offset = 0
  private static let bufferSize = 1 << 20
  /// Bytes handed to the system, and those that it was told to take to the disk.
  private var handed = 0
  private var started = 0
  /// Bytes that are taken to the disk together.
  private static let batch = 32 << 20

  /// - Throws: ``FileError`` when something stands at `path` and `replacing` is false, or the
  ///   sibling cannot be made.
  package convenience init(path: String, replacing: Bool) throws(FileError) {
    var status = stat()
    if stat(path, &status) == 0 {
      if !replacing { throw FileError(.exists, path) }
      // A device or a folder is nothing that a file may take the place of.
      guard status.st_mode & S_IFMT == S_IFREG else {
        throw FileError(.create, path, status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
      }
    }
    try self.init(at: path, shownAs: path, replacing: replacing)
  }

  /// A file that messages call `shown`: within a folder in the making, its place to be.
  fileprivate init(
    at place: String, shownAs shown: String, replacing: Bool
  ) throws(FileError) {
    path = shown
    self.replacing = replacing
    self.place = place
    temporary = siblingPath(of: place)
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(.create, shown, errno) }
    pending.reserveCapacity(Self.bufferSize)
  }

  deinit { discard() }

  package func write(_ bytes: RawSpan) throws(FileError) {
    offset += bytes.byteCount
    if pending.count + bytes.byteCount <= Self.bufferSize {
      bytes.withUnsafeBytes { pending.append(contentsOf: $0) }
      return
    }
    try flush()
    try bytes.withUnsafeBytes { (raw) throws(FileError) in try writeThrough(raw) }
  }

  package func write(_ bytes: [UInt8]) throws(FileError) { try write(bytes.span.bytes) }

  package func write(_ slice: ByteSlice) throws(FileError) { try write(slice.bytes) }

  /// Flushes everything to the disk and puts the file in its place, which is flushed as well.
  package func commit() throws(FileError) {
    try flush()
    guard fsync(descriptor) == 0 else { throw FileError(.write, path, errno) }
    close(descriptor)
    descriptor = -1
    defer { syncFolder(of: place) }
    if !replacing {
      // A link, unlike a new name, takes nothing's place: something may stand there by now.
      let isLinked = link(temporary, place) == 0
      let code = errno
      if isLinked || code == EEXIST { unlink(temporary) }
      if isLinked { return }
      if code == EEXIST { throw FileError(.exists, path) }
      // There are file systems without links.
    }
    guard rename(temporary, place) == 0 else {
      let code = errno
      unlink(temporary)
      throw FileError(.rename, path, code)
    }
  }

  private func flush() throws(FileError) {
    guard !pending.isEmpty else { return }
    let bytes = pending
    pending.removeAll(keepingCapacity: true)
    try bytes.span.bytes.withUnsafeBytes { (raw) throws(FileError) in try writeThrough(raw) }
  }

  private func writeThrough(_ raw: UnsafeRawBufferPointer) throws(FileError) {
    var rest = raw
    while let base = rest.baseAddress, !rest.isEmpty {
      let written = Foundation.write(descriptor, base, min(rest.count, 1 << 30))
      if written < 0 {
        if errno == EINTR { continue }
        let code = errno
        discard()
        throw FileError(.write, path, code)
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[written...])
      handed += written
    }
    startTowardsDisk()
  }

  /// Lets the disk begin while more is made, so that ``commit()`` waits for the rest alone.
  private func startTowardsDisk() {
    guard handed - started >= Self.batch else { return }
    _ = sync_file_range(descriptor, started, handed - started, DECANT_SYNC_FILE_RANGE_WRITE)
    started = handed
  }

  private func discard() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    unlink(temporary)
  }
}

/// A folder that appears whole or not at all: filled beside its place, then renamed.
package final class ReplacingFolder {
  package let path: String
  private let replacing: Bool
  /// Where to write: files here move with the folder when it is committed.
  package let staging: String
  private var isCommitted = false

  package init(path: String, replacing: Bool) throws(FileError) {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    self.replacing = replacing
    if !replacing, access(self.path, F_OK) == 0 { throw FileError(.exists, self.path) }
    staging = siblingPath(of: self.path)
    guard mkdir(staging, 0o755) == 0 else { throw FileError(.create, self.path, errno) }
  }

  deinit { if !isCommitted { try? FileManager.default.removeItem(atPath: staging) } }

  /// A new file of the folder, by its path within it; folders on the way are made.
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

  /// Puts the folder in its place; a folder that stood there goes only once the new one stands.
  package func commit() throws(FileError) {
    let old = siblingPath(of: path)
    let stood = replacing && access(path, F_OK) == 0
    // Files flush the folders that they lie in; those that hold a folder alone are flushed here.
    syncFolder(of: staging + "/.")
    if stood, rename(path, old) != 0 { throw FileError(.rename, path, errno) }
    guard rename(staging, path) == 0 else {
      let code = errno
      if stood { rename(old, path) }
      throw FileError(.rename, path, code)
    }
    isCommitted = true
    syncFolder(of: path)
    if stood { try? FileManager.default.removeItem(atPath: old) }
  }
}

/// Takes the names of the folder that `path` lies in to the disk: without it a power cut could take a
/// renamed file back to its old name.
///
/// - Returns: whether that was done. A folder that cannot be read, and file systems that know no such
///   flush, do not make what was written any worse.
@discardableResult
package func syncFolder(of path: String) -> Bool {
  let folder = PathParts(path).folder
  let descriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard descriptor >= 0 else { return false }
  defer { close(descriptor) }
  return fsync(descriptor) == 0
}

/// A name in the same folder that nothing has: `.name.1f3a….partial`.
private func siblingPath(of path: String) -> String {
  let parts = PathParts(path)
  let tag = String(UInt64.random(in: .min ... .max), radix: 16)
  return parts.sibling(".\(parts.name).\(tag).partial")
}
