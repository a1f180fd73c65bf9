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
      "note: the remaining blocks were not trained for this; images will be noisy until the model is "
      + "distilled or fine-tuned\n"
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

  /// Int8 rows are not blocks of 32 weights, and only the original gives those.
  @Test func anotherQuantizationNeedsTheOriginal() throws {
    try withMiniature { folder in
      try expectDecant(
        ["quantize", "mini", "-o", "a.decant", "--type", "int8", "--quiet"], in: folder)
      try expectDecant(
        ["convert", "a.decant", "-o", "a.gguf"], in: folder, exit: 2,
        stderr:
          "decant: a.gguf: a GGUF file for stable-diffusion.cpp cannot hold int8 weights, such as tensor 'down_blocks.0.attentions.0.proj_in.weight' of component 'unet'; choose --to decant, or choose --type f16, or quantize the original model with `decant quantize --type int8-g32`"
      )
    }
  }
}
