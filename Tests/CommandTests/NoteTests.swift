import Foundation
import TestSupport
import Testing

/// Notes on what a command wrote.
@Suite struct NoteTests {
  private func withMiniature(_ body: (String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/mini", withDestinationPath: fixture("mini-sd"))
      try body(folder)
    }
  }

  @Test func aRecipeNeedsTraining() throws {
    let note =
      "note: the remaining blocks were not trained to work without those of bk-sdm-small: images are "
      + "ruined until the model is distilled or fine-tuned\n"
      + "note: the published model with these blocks is trained: nota-ai/bk-sdm-small on "
      + "huggingface.co\n"
    try withMiniature { folder in
      let strip = ["strip", "mini", "--recipe", "bk-sdm-small", "-o"]
      let ending = try expectDecant(strip + ["a.decant"], in: folder)
      #expect(ending.errors.hasSuffix(note), "\(ending.errors)")
      let quiet = try expectDecant(strip + ["b.decant", "--quiet"], in: folder)
      #expect(quiet.errors.isEmpty)
      let drop = try expectDecant(
        ["strip", "mini", "--drop", "mid_block", "-o", "c.decant"], in: folder)
      #expect(!drop.errors.contains("note: "), "\(drop.errors)")
    }
  }

  /// The layout that --to names is written under a name that stands for another one.
  @Test(
    arguments: [
      (
        "a.safetensors", "decant",
        "a.safetensors is a decant file; its name is that of a single-file checkpoint"
      ),
      ("a.decant", "gguf", "a.decant is a GGUF file; its name is that of a decant file"),
      ("a.decant", "decant", nil), ("a", "decant", nil), ("a.v1", "diffusers", nil),
    ] as [(String, String, String?)])
  func aNameOfAnotherLayoutIsNoted(output: String, layout: String, note: String?) throws {
    try withMiniature { folder in
      let ending = try expectDecant(
        ["convert", "mini", "-o", output, "--to", layout], in: folder)
      let notes = ending.errors.split(separator: "\n").filter { $0.hasPrefix("note: ") }
      #expect(notes.map(String.init) == (note.map { ["note: " + $0] } ?? []), "\(ending.errors)")
    }
  }

  /// Where a program reads no quantized convolutions, another layout may save more.
  @Test func aFormThatSavesLittleIsNoted() throws {
    try withMiniature { folder in
      func notes(_ arguments: [String]) throws -> [String] {
        let ending = try expectDecant(
          ["quantize", "mini", "--type", "int8", "--dry-run"] + arguments, in: folder)
        return ending.errors.split(separator: "\n").filter { $0.hasPrefix("note: ") }
          .map(String.init)
      }
      let stay = "note: convolutions stay f16, because "
      let native = try notes(["--for", "comfyui", "-o", "a.safetensors"])
      #expect(
        native == [
          stay + "ComfyUI reads them as plain numbers: the U-Net takes 9.37 MB (11.0 MB in f16); "
            + "in a GGUF file for ComfyUI-GGUF it takes 6.15 MB"
        ])
      let gguf = try notes(["-o", "a.gguf"])
      #expect(
        gguf == [
          stay + "stable-diffusion.cpp reads them as plain numbers: the U-Net takes 9.41 MB "
            + "(11.0 MB in f16)"
        ])
      // The last is the user's own choice of layers.
      for arguments in [
        ["--for", "comfyui", "-o", "a.gguf"], ["-o", "a.decant"],
        ["-o", "a.gguf", "--only", "*.attn1.*"],
      ] {
        let others = try notes(arguments)
        #expect(others.isEmpty, "\(arguments)")
      }
    }
  }

  /// Int8 rows are not blocks of 32 weights, and only the original gives those.
  @Test func anotherQuantizationNeedsTheOriginal() throws {
    try withMiniature { folder in
      try expectDecant(
        ["quantize", "mini", "-o", "a.decant", "--type", "int8", "--quiet"], in: folder)
      try expectDecant(
        ["convert", "a.decant", "-o", "a.gguf"], in: folder, exit: 2,
        stderr:
          "decant: a.gguf: a GGUF file for stable-diffusion.cpp cannot hold int8 weights, such as tensor 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.weight' of component 'unet'; give the output the ending .decant, or choose --type f16, or quantize the original model with `decant quantize --type int8-g32`"
      )
    }
  }
}
