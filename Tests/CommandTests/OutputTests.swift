import Foundation
import TestSupport
import Testing

/// What is said of an output that cannot be: the truth of the place, and no advice that does not
/// help.
@Suite struct OutputTests {
  private func write(_ text: String, to path: String) throws {
    try text.write(toFile: path, atomically: true, encoding: .utf8)
  }

  @Test(arguments: ["plain/x.decant", "plain/deeper/x.decant", "plain/x/"])
  func aFileIsNoFolderToWriteTo(output: String) throws {
    try withModel { folder in
      try write("kept", to: folder + "/plain")
      for force in [[], ["--force"]] {
        try expectDecant(
          ["convert", "model", "-o", output, "--quiet"] + force, in: folder, exit: 2,
          stderr:
            "decant: \(output): FOLDER/plain is a file, where a folder to write to is expected; give another name"
        )
      }
      #expect(try names(folder) == ["model", "plain"])
    }
  }
}
