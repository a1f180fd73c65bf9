import Foundation
import TestSupport
import Testing

/// Refusals of outputs: they state what is at the path, and suggest only what helps.
@Suite struct OutputTests {
  /// Where the output's name decides on the layout, so does the remedy; else the option does.
  @Test(arguments: [
    (["-o", "z.safetensors", "--for", "sdcpp"], "give the output the ending .gguf"),
    (["-o", "noext", "--for", "comfyui"], "give the output the ending .safetensors or .gguf"),
    (["-o", "z.gguf", "--for", "sdnq"], "give the output the ending /"),
    (["-o", "z.safetensors", "--to", "checkpoint", "--for", "sdcpp"], "choose --to gguf"),
  ])
  func theRemedyIsAnEndingWhereOneDecides(arguments: [String], remedy: String) throws {
    try withModel { folder in
      let ending = try expectDecant(["convert", "model"] + arguments, in: folder, exit: 2)
      #expect(ending.errors.hasSuffix("; \(remedy)\n"), "\(ending.errors)")
    }
  }

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

  /// Neither is replaced with --force, which is therefore not suggested.
  @Test func devicesAndPipesAreRefused() throws {
    try withModel { folder in
      #expect(mkfifo(folder + "/pipe", 0o600) == 0)
      for (output, kind) in [("/dev/null", "a device"), ("pipe", "a pipe")] {
        for force in [[], ["--force"]] {
          for arguments in [
            ["convert", "model", "--to", "decant"], ["convert", "model", "--to", "diffusers"],
            ["shrink", "model", "--to", "gguf"],
            ["forward", "model", "--component", "unet", "--inputs", "in.safetensors"],
          ] {
            try expectDecant(
              arguments + ["-o", output, "--quiet"] + force, in: folder, exit: 2,
              stderr:
                "decant: \(output) is \(kind); outputs are files and folders; give another name")
          }
        }
      }
      #expect(try names(folder) == ["model", "pipe"])
    }
  }

  @Test func forceWritesThroughALink() throws {
    try withModel { folder in
      for (output, target) in [("a.decant", "files/b.decant"), ("a", "files/b")] {
        let convert = ["convert", "model", "--quiet", "-o"]
        try FileManager.default.createDirectory(
          atPath: folder + "/files", withIntermediateDirectories: true)
        try expectDecant(convert + [target], in: folder)
        try FileManager.default.createSymbolicLink(
          atPath: folder + "/" + output, withDestinationPath: target)
        try expectDecant(
          convert + [output], in: folder, exit: 2,
          stderr: "decant: \(output) already exists; pass --force to replace it")
        let file = folder + "/" + target + (output == "a" ? "/model_index.json" : "")
        try write("damaged", to: file)
        // A folder without its index would not be replaced.
        if output == "a.decant" { #expect(chmod(file, 0o600) == 0) }
        try expectDecant(convert + [output, "--force"], in: folder)
        #expect(try bytes(file).count > 100)
        #expect(
          try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/" + output)
            == target)
      }
      let mode =
        try FileManager.default.attributesOfItem(
          atPath: folder + "/files/b.decant")[.posixPermissions] as? Int
      #expect(mode == 0o600)
      #expect(try names(folder + "/files") == ["b", "b.decant"])
    }
  }

  /// Every output takes a name of 255 bytes, and no longer one.
  @Test func namesMayBeAsLongAsTheFileSystemAllows() throws {
    try withModel { folder in
      func name(_ ending: String, bytes: Int = 255) -> String {
        String(repeating: "n", count: bytes - ending.utf8.count) + ending
      }
      let shrink = [
        "shrink", "model", "--type", "int8", "--steps", "1", "--size", "16x16", "--no-verify",
        "--quiet", "-o",
      ]
      try expectDecant(shrink + [name(".decant")], in: folder)
      try expectDecant(["convert", "model", "--quiet", "-o", name("")], in: folder)
      try expectDecant(
        [
          "calibrate", "model", "--steps", "1", "--size", "16x16", "--prompt-limit", "1",
          "--quiet", "-o", name("c"),
        ], in: folder)
      let generate = [
        "generate", "model", "-p", "x", "--steps", "1", "--size", "16x16", "--quiet", "-o",
      ]
      try expectDecant(generate + [name(".png")], in: folder)
      let written = [
        name(".decant"), name(".calibration"), name(""), name("c"), name(".png"), "model",
      ]
      #expect(try names(folder) == written.sorted())
      for arguments in [
        generate + [name(".png", bytes: 256)], generate + [name(".png"), "--count", "2"],
        ["convert", "model", "--quiet", "-o", name(".gguf", bytes: 256)],
      ] {
        let ending = try expectDecant(arguments, in: folder, exit: 2)
        #expect(ending.errors.hasSuffix(": File name too long\n"), "\(ending.errors)")
      }
    }
  }

  /// `generate` writes all of its images or none.
  @Test func imagesAppearTogether() throws {
    try withModel { folder in
      let generate = [
        "generate", "model", "-p", "a", "-p", "b", "--count", "2", "--steps", "900", "--size",
        "16x16", "-o", "a.png", "--grid", "grid.png",
      ]
      let running = try Decant.start(generate, in: folder)
      // Images of the first prompt exist, under a temporary name.
      try running.waitFor("generating with model, 2 of 2")
      #expect(try names(folder).filter { !$0.hasPrefix(".") } == ["model"])
      kill(running.process.processIdentifier, SIGTERM)
      #expect(try running.end().code == 130)
      #expect(try names(folder) == ["model"])
    }
  }
}
