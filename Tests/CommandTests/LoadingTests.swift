import TestSupport
import Testing

/// Python code that follows an output for a Python package.
@Suite struct LoadingTests {
  @Test func aFolderForSDNQHasItsImport() throws {
    try withModel { folder in
      let ending = try expectDecant(
        ["quantize", "model", "--type", "int8", "-o", "out\"1/", "--for", "sdnq", "--quiet"],
        in: folder)
      let code = #"""

        to load it in Python:
          import torch
          import sdnq
          from diffusers import DiffusionPipeline
          pipeline = DiffusionPipeline.from_pretrained(
              "out\"1/", torch_dtype=torch.float16)

        """#
      #expect(ending.output.hasSuffix(code), "\(ending.output)")
    }
  }

  /// The config is that of the input where it is a folder and has the config of the output.
  @Test(arguments: [
    (["convert", "model"], "", "model"),
    (
      ["strip", "model", "--drop", "mid_block"],
      " (FOLDER is a diffusers folder of this model, which `decant convert` writes)", "FOLDER"
    ),
  ])
  func aUNetInGGUFHasItsConfig(arguments: [String], note: String, config: String) throws {
    try withModel { folder in
      let ending = try expectDecant(
        arguments + ["-o", "a.gguf", "--for", "diffusers", "--quiet"], in: folder)
      let code = """

        to load its U-Net in Python\(note):
          import torch
          from diffusers import GGUFQuantizationConfig, UNet2DConditionModel
          unet = UNet2DConditionModel.from_single_file(
              "a.gguf",
              config="\(config)", subfolder="unet",
              torch_dtype=torch.float16,
              quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float16))

        """
      #expect(ending.output.hasSuffix(code), "\(ending.output)")
    }
  }

  @Test func otherOutputsHaveNone() throws {
    try withModel { folder in
      for output in ["a/", "a.safetensors", "a.decant"] {
        let ending = try expectDecant(["convert", "model", "-o", output, "--quiet"], in: folder)
        #expect(!ending.output.contains("Python"), "\(ending.output)")
      }
    }
  }
}
