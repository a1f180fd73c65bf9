private import Foundation

/// Standard input, output and error. Any of them may be closed, full, or a pipe without a reader.
package enum StandardStreams {
  /// Opens the null device for each closed stream. Otherwise an output file could get the
  /// descriptor of a closed stream, and printed text would be written to it.
  package static func open() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
      _ = Foundation.open("/dev/null", O_RDWR)
    }
  }

  /// Writes a line of results, or several, to standard output. Control characters other than line
  /// breaks and tabs are escaped.
  ///
  /// A reader that closes the pipe early, as `head` does, is not an error.
  ///
  /// - Throws: ``FileError`` when the write fails, for example because the disk is full.
  package static func printResult(_ line: String) throws(FileError) {
    var rest = ArraySlice((escapedForTerminal(line) + "\n").utf8)
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

  /// Writes a line, or several, to standard error, and ignores a closed or full stream. Control
  /// characters other than line breaks and tabs are escaped.
  package static func printError(_ line: String) { writeError(escapedForTerminal(line) + "\n") }

  /// Redraws the last line of a terminal: `line` takes the place of what ``redraw(_:)`` drew before.
  package static func redraw(_ line: String) {
    writeError("\r\u{1b}[K" + bounded(message: line))
  }

  private static func writeError(_ text: String) {
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }
}
