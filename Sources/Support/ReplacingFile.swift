private import CKernels
private import CLinux
private import Foundation

/// A file that is written to a temporary sibling and put in its place by ``commit()``.
///
/// Until then an existing file stays unchanged. Without a commit, the sibling is removed when the
/// object is deallocated.
package final class ReplacingFile {
  /// The path of the file, as messages name it.
  package let path: String
  /// The path to which the file is renamed. For a file of a ``ReplacingFolder`` it differs from
  /// ``path``.
  private let destination: String
  private let replacing: Bool
  private let temporary: String
  private var descriptor: Int32
  private var pending: [UInt8] = []
  /// The number of bytes written so far.
  package private(set) var offset = 0
  private static let bufferSize = 1 << 20
  /// Bytes that were written to the system's cache.
  private var cachedBytes = 0
  /// Bytes whose transfer to the disk was started.
  private var transferredBytes = 0
  /// The system starts a transfer to the disk after each batch of this many bytes.
  private static let batchSize = 32 << 20

  /// - Throws: ``FileError`` when `path` exists and `replacing` is false, when `path` is not a
  ///   regular file, or when the sibling cannot be created.
  package convenience init(path: String, replacing: Bool) throws(FileError) {
    var status = stat()
    if stat(path, &status) == 0 {
      if !replacing { throw FileError(.exists, path) }
      // A file must not replace a device or a folder.
      guard status.st_mode & S_IFMT == S_IFREG else {
        throw FileError(.create, path, status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
      }
    }
    try self.init(at: path, shownAs: path, replacing: replacing)
  }

  /// - Parameter shown: the path for messages. For a file of a ``ReplacingFolder`` it is the path
  ///   after the folder's commit.
  init(
    at destination: String, shownAs shown: String, replacing: Bool
  ) throws(FileError) {
    path = shown
    self.replacing = replacing
    self.destination = destination
    temporary = siblingPath(of: destination)
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

  /// Flushes the file to the disk, renames it to its final name, and flushes the folder.
  ///
  /// - Throws: ``FileError`` when a file that the job mapped became shorter or was changed, which
  ///   removes the sibling, or when a call fails.
  package func commit() throws(FileError) {
    try flush()
    do { try MappedFiles.current?.check() } catch {
      discard()
      throw error
    }
    guard fsync(descriptor) == 0 else { throw FileError(.write, path, errno) }
    close(descriptor)
    descriptor = -1
    defer { syncFolder(of: destination) }
    if !replacing {
      // Unlike a rename, a hard link never replaces a file that was created in the meantime.
      let isLinked = link(temporary, destination) == 0
      let code = errno
      if isLinked || code == EEXIST { unlink(temporary) }
      if isLinked { return }
      if code == EEXIST { throw FileError(.exists, path) }
      // Some file systems do not support hard links.
    }
    guard rename(temporary, destination) == 0 else {
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
    var isTouched = false
    while let base = rest.baseAddress, !rest.isEmpty {
      let written = Foundation.write(descriptor, base, min(rest.count, 1 << 30))
      if written < 0 {
        if errno == EINTR { continue }
        let code = errno
        if code == EFAULT, !isTouched {
          // The bytes are those of a mapped file that became shorter; `commit` reports it.
          decant_touch_pages(base, rest.count)
          isTouched = true
          continue
        }
        discard()
        throw FileError(.write, path, code)
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[written...])
      cachedBytes += written
    }
    startTransfer()
  }

  /// Starts the transfer of a batch to the disk while more data is produced, so that ``commit()``
  /// waits for the last batch only.
  private func startTransfer() {
    let count = cachedBytes - transferredBytes
    guard count >= Self.batchSize else { return }
    _ = sync_file_range(descriptor, transferredBytes, count, DECANT_SYNC_FILE_RANGE_WRITE)
    transferredBytes = cachedBytes
  }

  private func discard() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    unlink(temporary)
  }
}

/// An unused name in the same folder: `.name.1f3a….partial`.
func siblingPath(of path: String) -> String {
  let parts = PathParts(path)
  let tag = String(UInt64.random(in: .min ... .max), radix: 16)
  return parts.sibling(".\(parts.name).\(tag).partial")
}
