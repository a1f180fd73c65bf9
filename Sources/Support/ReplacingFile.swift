private import CKernels
private import CLinux
private import Foundation

/// A file that is written to a temporary sibling and put in its place by ``commit()``.
///
/// Until then an existing file stays unchanged. Without a commit, the sibling is removed when the
/// object is deallocated, or by the next run if the process is killed. At a symbolic link, the link
/// stays and its target is written. A file that is replaced gives the new one its permissions, and
/// its owner where permitted.
package final class ReplacingFile {
  /// The path of the file, as messages name it.
  package let path: String
  /// The path to which the file is renamed. For a symbolic link and for a file of a
  /// ``ReplacingFolder`` it differs from ``path``.
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
  ///   regular file, when its name is too long, or when the sibling cannot be created.
  package convenience init(path: String, replacing: Bool) throws(FileError) {
    let destination = try preparedDestination(of: path, replacing: replacing)
    if isFolder(path) { throw FileError(.create, path, EISDIR) }
    try self.init(at: destination, shownAs: path, replacing: replacing)
  }

  /// - Parameter shown: the path for messages. For a file of a ``ReplacingFolder`` it is the path
  ///   after the folder's commit.
  init(
    at destination: String, shownAs shown: String, replacing: Bool
  ) throws(FileError) {
    path = shown
    self.replacing = replacing
    self.destination = destination
    // The permissions of a file that is replaced may be narrower; until the commit, the content is
    // the user's alone.
    let isReplacing = replacing && access(destination, F_OK) == 0
    let sibling = try Temporary(
      of: destination, shownAs: shown, isFolder: false, mode: isReplacing ? 0o600 : 0o644)
    (temporary, descriptor) = (sibling.path, sibling.descriptor)
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
    do throws(FileError) {
      _ = try place(
        temporary, at: destination, shownAs: path, replacing: replacing, exchanging: false)
    } catch {
      discard()
      throw error
    }
    close(descriptor)
    descriptor = -1
    syncFolder(of: destination)
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
    unlink(temporary)
    close(descriptor)
    descriptor = -1
  }
}
