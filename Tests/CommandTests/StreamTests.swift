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

  /// A pipe can be read only once.
  @Test(arguments: [
    "verify model model --no-baselines --steps 1 --size 16x16",
    "calibrate model -o c --steps 1 --size 16x16",
    "shrink model -o a.decant --type int8 --steps 1 --size 16x16",
  ])
  func promptsMayComeFromAPipe(command: String) throws {
    try withModel { folder in
      let prompts = "printf 'a cat\\na dog\\n' | $DECANT"
      let line = "\(prompts) \(command) --prompts /dev/stdin --json --quiet 2>&1"
      let (code, output) = try shell(line, in: folder)
      #expect(code == 0, "\(output)")
      // A calibration names its prompts in its file.
      let file = FileManager.default.contents(atPath: folder + "/c") ?? Data()
      let found = output + String(decoding: file, as: UTF8.self)
      #expect(found.contains("a cat") && found.contains("a dog"), "\(output)")
    }
  }

  /// Swift would read another name.
  @Test func namesThatAreNotUTF8AreRefused() throws {
    try withModel { folder in
      let name = "\"$(printf 'm\\377')\""
      for line in ["inspect \(name)", "convert model -o \(name)", "generate model -p \(name)"] {
        let (code, output) = try shell(
          "cp -R model/ \(name) && $DECANT \(line) 2>&1", in: folder)
        #expect(code == 2)
        #expect(
          output
            == "decant: the argument 'm\\xff' is not UTF-8 text, as names of files and prompts must be; rename the file, or give it a symbolic link with another name\n"
        )
      }
      let (code, output) = try shell(
        "mkdir \(name)/sub; cd \(name)/sub && $DECANT convert ../../model -o a.decant 2>&1",
        in: folder)
      #expect(code == 2)
      #expect(output.hasPrefix("decant: the working folder '") && output.contains("/m\\xff/sub' "))
    }
  }
}
