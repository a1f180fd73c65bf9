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
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
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

  /// The file's bytes.
  package var contents: ByteSlice { ByteSlice(self) }
}

extension ByteSlice {
  /// The bytes of the file at `path`, mapped.
  package static func mapping(_ path: String) throws(FileError) -> ByteSlice {
    try FileMapping(path: path).contents
  }
}
