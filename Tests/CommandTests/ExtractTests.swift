import Foundation
import TestSupport
import Testing

/// The commands that follow a U-Net alone.
@Suite struct ExtractTests {
  @Test(arguments: [
    ["convert", "model", "-o", "out/unet.gguf", "--for", "comfyui", "--vae", "model/vae"],
    [
      "quantize", "model", "--type", "int8", "-o", "out/unet.gguf", "--for", "comfyui",
      "--vae=model/vae",
    ],
    ["extract", "model", "--component", "unet", "-o", "out/u.safetensors", "--vae", "model/vae"],
  ])
  func theOtherComponentsHaveCommands(arguments: [String]) throws {
    try withModel { folder in
      try FileManager.default.createDirectory(
        atPath: folder + "/out", withIntermediateDirectories: true)
      let ending = try expectDecant(arguments + ["--quiet"], in: folder)
      #expect(ending.output.contains(", U-Net alone, was "), "\(ending.output)")
      let commands = ending.output.split(separator: "\n").filter {
        $0.hasPrefix("  decant extract ")
      }.map { $0.dropFirst(2).split(separator: " ").map(String.init) }
      #expect(
        commands
          == [("clip-l", "clip_l"), ("vae", "vae")].map { part, name in
            [
              "decant", "extract", "model", "--component", part, "-o", "out/\(name).safetensors",
              "--vae=model/vae",
            ]
          })
      for command in commands {
        try expectDecant(Array(command.dropFirst()) + ["--quiet"], in: folder)
      }
      let written = try names(folder + "/out")
      #expect(written.count == 3 && written.contains("clip_l.safetensors"))
      #expect(written.contains("vae.safetensors"))
    }
  }

  /// An option that changes the U-Net alone is not repeated; one that changes the component is.
  @Test func optionsOfTheUNetAreNotRepeated() throws {
    try withModel { folder in
      let ending = try expectDecant(
        [
          "extract", "model", "--component", "UNet", "-o", "u.safetensors", "--prediction",
          "v_prediction", "--allow-nonfinite", "--quiet",
        ], in: folder)
      for (part, name) in [("clip-l", "clip_l"), ("vae", "vae")] {
        let command =
          "  decant extract model --component \(part) -o \(name).safetensors --allow-nonfinite\n"
        #expect((ending.output + "\n").contains(command), "\(ending.output)")
      }
    }
  }

  @Test func wholeModelsAndOtherComponentsHaveNone() throws {
    try withModel { folder in
      for arguments in [
        ["convert", "model", "-o", "a.decant"],
        ["extract", "model", "--component", "text-encoder", "-o", "t.safetensors"],
      ] {
        let ending = try expectDecant(arguments + ["--quiet"], in: folder)
        #expect(!ending.output.contains("decant extract"), "\(ending.output)")
      }
    }
  }
}
