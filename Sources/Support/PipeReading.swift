private import Foundation

/// Reads a file, a pipe or a terminal to its end.
///
/// A pipe can be read only once. Waiting for a pipe ends when the task is cancelled.
///
/// - Returns: `nil` for more than `limit` bytes.
/// - Throws: ``FileError`` when the path is a folder or cannot be read, or `CancellationError`.
package func bytesToEnd(ofFileOrPipe path: String, limit: Int) throws -> [UInt8]? {
  // Without O_NONBLOCK, opening a pipe blocks until another process writes to it.
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
  guard descriptor >= 0 else { throw FileError(.open, path, errno) }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while bytes.count <= limit {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // A pipe that nobody has opened for writing yet is not at its end.
    if poll(&waiting, 1, 100) == 0 {
      try Cancellation.check()
      continue
    }
    let count = read(descriptor, &buffer, buffer.count)
    if count == 0 { return bytes }
    if count < 0 {
      if [EINTR, EAGAIN].contains(errno) { continue }
      throw FileError(.read, path, errno)
    }
    bytes += buffer[..<count]
  }
  return nil
}
