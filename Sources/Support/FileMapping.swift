private import Foundation

/// A file that is mapped into memory, read-only.
///
/// If the file becomes shorter, the lost bytes read as zeros and ``MappedFiles`` reports it.
///
/// Unchecked: the mapping never changes, and accesses only read it.
package final class FileMapping: ByteOwner, @unchecked Sendable {
  let buffer: UnsafeRawBufferPointer
  package let path: String
  private let opened: OpenedFile

  /// Maps a whole regular file.
  ///
  /// - Throws: ``FileError`` when the path is not a regular file, or cannot be opened or mapped.
  package init(path: String) throws(FileError) {
    // Without O_NONBLOCK, opening a pipe blocks until another process writes to it.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileError(.open, path, errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileError(.open, path, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(.open, path, status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
    }
    let size = Int(status.st_size)
    if size == 0 {
      buffer = UnsafeRawBufferPointer(start: nil, count: 0)
    } else {
      let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
      guard let address, address != MAP_FAILED else { throw FileError(.map, path, errno) }
      buffer = UnsafeRawBufferPointer(start: address, count: size)
    }
    self.path = path
    opened = OpenedFile(path, status, at: buffer)
    MappedFiles.current?.add(opened)
  }

  /// - Throws: ``FileError`` when the file became shorter or was changed after it was opened.
  package func check() throws(FileError) {
    if let failure = opened.failure { throw failure }
  }

  deinit {
    opened.close()
    if let base = buffer.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: base), buffer.count)
    }
  }

  /// Releases the memory pages of `range`. A later access reads them from the file again.
  fileprivate func releasePages(_ range: Range<Int>) {
    guard let base = buffer.baseAddress else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let start = range.lowerBound / page * page
    madvise(
      UnsafeMutableRawPointer(mutating: base + start), range.upperBound - start, MADV_DONTNEED)
  }

  /// The file's bytes.
  package var contents: ByteSlice { ByteSlice(self) }
}

/// A range of a mapped file that releases its memory pages when the last reference is gone.
private final class MappedWindow: ByteOwner {
  let file: FileMapping
  let range: Range<Int>

  var buffer: UnsafeRawBufferPointer { file.buffer }

  init(_ file: FileMapping, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }

  deinit { file.releasePages(range) }
}

extension ByteSlice {
  /// The bytes in `range`, for temporary use. If the slice is part of a mapped file, the system
  /// regains the memory of its pages once the last copy of the window is gone.
  ///
  /// A conversion that reads a large file window by window keeps only the current windows in
  /// memory.
  package func window(_ range: Range<Int>) -> ByteSlice {
    let slice = self[range]
    guard let file = mapping, !range.isEmpty else { return slice }
    let start = slice.alignmentOffset
    return ByteSlice(
      MappedWindow(file, start..<start + range.count), start: start, count: range.count)
  }

  /// For a slice of a mapped file, see ``FileMapping/check()``.
  package func checkUnchanged() throws(FileError) { try mapping?.check() }

  /// The bytes of the file at `path`, mapped into memory.
  package static func mapping(_ path: String) throws(FileError) -> ByteSlice {
    try FileMapping(path: path).contents
  }
}
