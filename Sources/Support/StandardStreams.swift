private import Foundation

/// The three streams that a program is started with, any of which may be closed, full, or read by
/// nobody.
package enum StandardStreams {
  /// Opens the null device for those that are closed: a file that is written would get a closed one's
  /// number, and what is printed with it.
  package static func open() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
      _ = Foundation.open("/dev/null", O_RDWR)
    }
  }

  /// Writes a line of results to standard output.
  ///
  /// - Throws: ``FileError`` for a disk that is full; a reader that wants no more, as `head` does, is
  ///   no fault.
  package static func printResult(_ line: String) throws(FileError) {
    var rest = ArraySlice((line + "\n").utf8)
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      if written < 0 {
        if errno == EINTR { continue }
        if errno == EPIPE { return }
        throw FileError(.write, "standard output", errno)
      }
      rest = rest.dropFirst(written)
    }
  }
}
