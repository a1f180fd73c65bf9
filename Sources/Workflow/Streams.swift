private import Support

// The standard streams, for who stands on this room alone.

/// Makes sure that none of them is closed; see ``StandardStreams/open()``.
package func openStandardStreams() { StandardStreams.open() }

/// Writes a line of results to standard output; see ``StandardStreams/printResult(_:)``.
package func printResult(_ line: String) throws { try StandardStreams.printResult(line) }
