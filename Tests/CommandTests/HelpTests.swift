import Foundation
import TestSupport
import Testing

/// The text of help.
@Suite struct HelpTests {
  private func help(_ command: String, in folder: String) throws -> String {
    let arguments = (command.isEmpty ? [] : [command]) + ["--help"]
    let output = try expectDecant(arguments, in: folder).output
    return output
  }

  /// An example can be pasted: a line that goes on ends in a backslash.
  @Test(arguments: [""] + ConductTests.commands)
  func examplesAreNotWrapped(command: String) throws {
    try withTemporaryFolder { folder in
      let lines = try help(command, in: folder).split(
        separator: "\n", omittingEmptySubsequences: false)
      let examples = lines.drop { !$0.hasPrefix("Example: ") }.prefix { !$0.hasPrefix("USAGE: ") }
      #expect(!examples.isEmpty)
      var goesOn = false
      for line in examples {
        #expect(goesOn || line.isEmpty || line.hasPrefix("Example: decant "), "\(line)")
        #expect(line.count <= 80, "\(line)")
        goesOn = line.hasSuffix(" \\")
      }
      #expect(!goesOn)
    }
  }

  @Test(arguments: ["", "inspect", "convert", "generate"])
  func everyEndingOfAModelIsNamed(command: String) throws {
    try withTemporaryFolder { folder in
      let words = try help(command, in: folder).split { $0.isWhitespace }.joined(separator: " ")
      #expect(
        words.contains("a file: .decant, .safetensors, .ckpt, .pt, .bin or .gguf."), "\(words)")
    }
  }

  @Test func quantizeOffersNoArithmetic() throws {
    try withTemporaryFolder { folder in
      let text = try help("quantize", in: folder)
      #expect(!text.contains("--compute") && text.contains("--threads"))
      #expect(text.contains("-t, --type <type>"), "\(text)")
    }
  }

  @Test func helpOfACommand() throws {
    try withTemporaryFolder { folder in
      let text = try help("inspect", in: folder)
      for arguments in [["help", "inspect"], ["inspect", "-h"]] {
        let other = try expectDecant(arguments, in: folder).output
        #expect(other == text)
      }
      let all = try help("", in: folder)
      let root = try expectDecant(["help"], in: folder).output
      #expect(root == all)
    }
  }
}
