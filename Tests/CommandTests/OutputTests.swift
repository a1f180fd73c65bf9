import Foundation
import TestSupport
import Testing

/// Refusals of outputs: they state what is at the path, and suggest only what helps.
@Suite struct OutputTests {
  private func write(_ text: String, to path: String) throws {
    try text.write(toFile: path, atomically: true, encoding: .utf8)
  }

  @Test(arguments: ["plain/x.decant", "plain/deeper/x.decant", "plain/x/"])
  func aFileInTheOutputsPathIsRefused(output: String) throws {
    try withModel { folder in
      try write("kept", to: folder + "/plain")
      for force in [[], ["--force"]] {
        try expectDecant(
          ["convert", "model", "-o", output, "--quiet"] + force, in: folder, exit: 2,
          stderr:
            "decant: \(output): FOLDER/plain is a file, expected a folder; give another name"
        )
      }
      try expectDecant(
        ["generate", "model", "-p", "x", "-o", "plain/", "--quiet"], in: folder, exit: 2,
        stderr:
          "decant: plain/: FOLDER/plain is a file, expected a folder; give another name"
      )
      #expect(try names(folder) == ["model", "plain"])
    }
  }

  @Test(arguments: [
    (
      ["convert", "model", "-o", "photos"],
      "photos is a folder without model_index.json; only a diffusers folder is replaced; give another name, or remove it"
    ),
    (
      ["convert", "model", "-o", "notes"],
      "notes is a file; only a diffusers folder is replaced; give another name, or remove it"
    ),
    (
      ["convert", "model", "-o", "notes/"],
      "notes/ is a file; only a diffusers folder is replaced; give another name, or remove it"
    ),
    (["convert", "model", "-o", "a.decant"], "cannot create a.decant: Is a directory"),
    (["convert", "model", "-o", "photos", "--to", "gguf"], "cannot create photos: Is a directory"),
    (
      ["verify", "model", "model", "--report", "photos"],
      "photos: the folder holds 'old.png', which does not belong to a report; only a report is replaced; give another name"
    ),
  ])
  func forceIsNotSuggestedWhereItDoesNotHelp(arguments: [String], sentence: String) throws {
    try withModel { folder in
      for path in ["photos", "a.decant"] {
        try FileManager.default.createDirectory(
          atPath: folder + "/" + path, withIntermediateDirectories: true)
        try write("kept", to: folder + "/" + path + "/old.png")
      }
      try write("kept", to: folder + "/notes")
      for force in [[], ["--force"]] {
        try expectDecant(
          arguments + ["--quiet"] + force, in: folder, exit: 2, stderr: "decant: " + sentence)
      }
      #expect(try names(folder) == ["a.decant", "model", "notes", "photos"])
      #expect(try names(folder + "/photos") == ["old.png"])
    }
  }
}
