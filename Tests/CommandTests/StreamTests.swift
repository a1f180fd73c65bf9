import Foundation
import TestSupport
import Testing

/// Standard streams that are closed, full or no longer read.
@Suite struct StreamTests {
  private func shell(_ line: String, in folder: String) throws -> (code: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "DECANT=\"$1\"; " + line, "sh", try #require(builtProgram)]
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: said, as: UTF8.self))
  }

  /// An output file must not get the descriptor of a closed stream, and so what is printed there.
  @Test(arguments: ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"]) func closedStreamsDoNotChangeOutputs(
    streams: String
  ) throws {
    try withModel { folder in
      #expect(try shell("$DECANT convert model -o a.decant \(streams)", in: folder).code == 0)
      #expect(try shell("$DECANT convert model -o b.decant --quiet", in: folder).code == 0)
      let (first, second) = try (
        Data(contentsOf: URL(fileURLWithPath: folder + "/a.decant")),
        Data(contentsOf: URL(fileURLWithPath: folder + "/b.decant"))
      )
      #expect(first == second)
    }
  }

  @Test func aFullDiskIsAnError() throws {
    try withModel { folder in
      let (code, output) = try shell("$DECANT inspect model --json 2>&1 >/dev/full", in: folder)
      #expect(code == 2)
      #expect(output == "decant: cannot write standard output: No space left on device\n")
    }
  }

  @Test func aReaderMayCloseThePipe() throws {
    try withModel { folder in
      let line = "($DECANT inspect model --tensors; echo $? >code) | true; cat code"
      let output = try shell(line, in: folder).output
      #expect(output == "0\n")
    }
  }
}
