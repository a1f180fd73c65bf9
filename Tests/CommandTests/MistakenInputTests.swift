import Foundation
import TestSupport
import Testing

/// Files and names that users confuse: each message says what the input is, or what is near it.
@Suite struct MistakenInputTests {
  private static let readable =
    "expected a decant file, diffusers folder, safetensors file, PyTorch file or GGUF file"

  @Test func filesOfOtherKindsAreNamed() throws {
    try withModel { folder in
      try FileManager.default.copyItem(
        atPath: fixture("demo-grid.png"), toPath: folder + "/a.safetensors")
      try "a cat\n".write(toFile: folder + "/a.txt", atomically: true, encoding: .utf8)
      for command in [["inspect"], ["convert", "-o", "b.decant"]] {
        let (name, rest) = (command[0], command.dropFirst())
        try expectDecant(
          [name, "a.safetensors"] + rest, in: folder, exit: 2,
          stderr: "decant: a.safetensors: a PNG image, \(Self.readable)")
        try expectDecant(
          [name, "a.txt"] + rest, in: folder, exit: 2,
          stderr: "decant: a.txt: a text file, \(Self.readable)")
      }
    }
  }

  @Test func calibrationFilesAreNamed() throws {
    try withModel { folder in
      try expectDecant(
        [
          "calibrate", "model", "-o", "c", "--steps", "1", "--prompt-limit", "1", "--size", "16x16",
          "--quiet",
        ], in: folder)
      for arguments in [
        ["inspect", "c"], ["convert", "c", "-o", "a.decant"], ["verify", "model", "c"],
      ] {
        try expectDecant(
          arguments + ["--quiet"], in: folder, exit: 2,
          stderr:
            "decant: c: is a calibration file, expected a model; pass --calibration to quantize a model with it"
        )
      }
    }
  }

  @Test func checksOfWeightsStateWhatTheyCover() throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "a.decant", "--quiet"], in: folder)
      for (model, checksums, sentence) in [
        ("model", "absent", "checked: readable, finite; this format has no checksums"),
        ("a.decant", "compared", "checked: no errors found"),
      ] {
        let check = ["inspect", model, "--check", "--quiet"]
        let plain = try expectDecant(check, in: folder)
        #expect(plain.output.contains("\n\(sentence)\n"), "\(plain.output)")
        let json = try expectDecant(check + ["--json"], in: folder)
        let object = try #require(
          try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(object["checked"] as? Bool == true)
        #expect(object["checksums"] as? String == checksums)
        #expect(object["finite"] as? Bool == true)
      }
    }
  }

  @Test func adaptersThatAreNone() throws {
    try withModel { folder in
      func convert(_ adapter: String, _ sentence: String) throws {
        try expectDecant(
          ["convert", "model", "-o", "b.decant", "--lora", adapter, "--quiet"], in: folder, exit: 2,
          stderr: "decant: " + sentence)
      }
      try expectDecant(["convert", "model", "-o", "a.safetensors", "--quiet"], in: folder)
      let other = "use it as the model, or name a file of LoRA or another adapter"
      try convert("a.safetensors", "a.safetensors: is a whole model, not an adapter; \(other)")
      try convert(
        "model/unet",
        "model/unet: holds the component 'unet', not an adapter; pass --unet to put it into the model"
      )
      try convert(
        "a.safetensors:0,5",
        "adapter 'a.safetensors': the scale '0,5' is not a number; expected one such as 0.5")
      try convert(
        "a.safetensors:half",
        "adapter 'a.safetensors': the scale 'half' is not a number; expected one such as 0.8")
      try convert("no.safetensors:0,5", "no.safetensors:0,5: there is no such file or folder")
    }
  }

  @Test func modelsInPlaceOfInputsAreCounted() throws {
    try withModel { folder in
      let weights = "model/unet/diffusion_pytorch_model.safetensors"
      let latents = try expectDecant(
        ["generate", "model", "-p", "x", "-o", "a.png", "--latents", weights, "--quiet"],
        in: folder, exit: 2)
      #expect(
        latents.errors.contains(
          "\(weights): expected a tensor 'latents' [B,4,H/8,W/8], found "))
      let inputs = try expectDecant(
        [
          "forward", "model", "--component", "vae-decoder", "--inputs", weights, "-o",
          "o.safetensors", "--quiet",
        ], in: folder, exit: 2)
      for errors in [latents.errors, inputs.errors] {
        #expect(errors.contains(" tensors, such as '") && errors.count < 200, "\(errors)")
      }
    }
  }

  @Test func namesThatAreNearAreSuggested() throws {
    try withModel { folder in
      for (arguments, beginning) in [
        (
          ["strip", "model", "-o", "a", "--recipe", "bk-sdm"],
          "unknown recipe 'bk-sdm' (did you mean 'bk-sdm-base', 'bk-sdm-small' or 'bk-sdm-tiny'?)"
        ),
        (
          ["synthesize", "--family", "sd-v1", "-o", "a"],
          "family 'sd-v1' is unknown (did you mean 'sd-v1-4', 'sd-v1-5' or 'sd-v1-5-inpainting'?)"
        ),
        (
          ["synthesize", "--family", "sd15", "-o", "a"],
          "family 'sd15' is unknown (did you mean 'sd-v1-5'?)"
        ),
        (
          ["quantize", "model", "--type", "int8", "--dry-run", "--for", "confyui"],
          "program 'confyui' is unknown (did you mean 'comfyui'?)"
        ),
      ] {
        let ending = try expectDecant(arguments + ["--quiet"], in: folder, exit: 2)
        #expect(ending.errors.hasPrefix("decant: \(beginning); expected "), "\(ending.errors)")
      }
    }
  }

  @Test func blocksOfASingleFile() throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "a.safetensors", "--quiet"], in: folder)
      try expectDecant(
        ["strip", "a.safetensors", "-o", "b", "--drop", "nosuch", "--quiet"], in: folder, exit: 2,
        stderr: "decant: a.safetensors (unet): the U-Net has no block 'nosuch'")
    }
  }

  @Test func aUNetAlone() throws {
    try withModel { folder in
      let facts = try expectDecant(["inspect", "model/unet"], in: folder)
      #expect(facts.output.hasPrefix("model/unet: U-Net alone, diffusers folder, "))
      // `bench` has no options for components.
      try expectDecant(
        ["bench", "model/unet", "--steps", "1", "--size", "16x16", "--quiet"], in: folder, exit: 2,
        stderr:
          "decant: model/unet: components 'vae' and 'text_encoder' are missing; found unet; add them with `decant convert` and --vae MODEL and --text-encoder MODEL"
      )
    }
  }

  /// The tokenizer of a text encoder lies beside the encoder's folder.
  @Test func tokenizersBesideTextEncoders() throws {
    try withModel { folder in
      func convert(_ encoder: String, to output: String) throws -> Ending {
        try expectDecant(
          [
            "convert", "model/unet", "-o", output, "--vae", "model", "--text-encoder", encoder,
          ], in: folder)
      }
      let note = "no tokenizer of 'text_encoder' was found, and CLIP's has 49408 tokens, but "
      let found = try convert("model/text_encoder", to: "a")
      #expect(!found.output.contains(note))
      #expect(
        try bytes(folder + "/a/tokenizer/vocab.json")
          == bytes(folder + "/model/tokenizer/vocab.json"))
      try expectDecant(
        [
          "generate", "a", "-p", "cat", "-o", "a.png", "--steps", "1", "-W", "16", "-H", "16",
          "--quiet",
        ], in: folder)

      try FileManager.default.copyItem(
        atPath: fixture("golden/pipeline/text_encoder"), toPath: folder + "/encoder")
      #expect(try convert("encoder", to: "b").output.contains(note + "'text_encoder' has "))
    }
  }
}
