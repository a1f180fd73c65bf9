private import Foundation

/// A file mapped into memory, read-only.
///
/// Unchecked: the mapping never changes and is only read.
package final class FileMapping: ByteOwner, @unchecked Sendable {
  let buffer: UnsafeRawBufferPointer
  package let path: String

  /// Maps the whole of a regular file.
  ///
  /// - Throws: ``FileError`` when it cannot be opened, is no regular file, or cannot be mapped.
  package init(path: String) throws(FileError) {
    // Without O_NONBLOCK a pipe would be waited for before it could be refused.
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
  }

  deinit {
    if let base = buffer.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: base), buffer.count)
    }
  }

  /// Tells the system that the pages of `range` are not needed; they are read again when they are.
  fileprivate func giveBack(_ range: Range<Int>) {
    guard let base = buffer.baseAddress else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let start = range.lowerBound / page * page
    madvise(
      UnsafeMutableRawPointer(mutating: base + start), range.upperBound - start, MADV_DONTNEED)
  }

  /// The file's bytes.
  package var contents: ByteSlice { ByteSlice(self) }
}

/// A range of a mapped file that gives its pages back when nobody looks at it any more.
private final class MappedWindow: ByteOwner {
  let file: FileMapping
  let range: Range<Int>

  var buffer: UnsafeRawBufferPointer { file.buffer }

  init(_ file: FileMapping, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }

  deinit { file.giveBack(range) }
}

extension ByteSlice {
  /// The bytes `range` of this slice, for a visit: when it is of a mapped file, the memory that
  /// its pages take is given back once the last copy of the slice is gone.
  ///
  /// A conversion that walks over a file of any size so keeps no more of it than what it holds.
  package func window(_ range: Range<Int>) -> ByteSlice {
    let slice = self[range]
    guard let file = mapping, !range.isEmpty else { return slice }
    let start = slice.alignmentOffset
    return ByteSlice(
      MappedWindow(file, start..<start + range.count), start: start, count: range.count)
  }

  /// The bytes of the file at `path`, mapped.
  package static func mapping(_ path: String) throws(FileError) -> ByteSlice {
    try FileMapping(path: path).contents
  }
}
