import Foundation
import TestSupport
import Testing

/// Every refusal is one sentence, exits with code 2 and writes nothing.
@Suite struct RefusalTests {
  private static let writers = "decant, diffusers, checkpoint or gguf"

  @Test(arguments: [
    (["inspect", "nothing"], "nothing: there is no such file or folder"),
    (
      ["generate", "model/unet", "-p", "x", "-o", "a.png", "--quiet"],
      "model/unet: components 'vae' and 'text_encoder' are missing; found unet; pass --vae MODEL and --text-encoder MODEL to add them"
    ),
    (
      ["convert", "model", "-o", "a.decant", "--type", "int3"],
      "number type 'int3' is unknown; expected f32, f16 or bf16"
    ),
    (
      ["convert", "model", "-o", "a.zip"],
      "a.zip: the name does not determine the output format; give the output the ending .decant, /, .safetensors or .gguf"
    ),
    (
      ["convert", "model", "-o", "a", "--to", "zip"],
      "unknown output format 'zip'; expected \(writers)"
    ),
    (
      ["convert", "model", "-o", "a.safetensors", "--numbering", "loose"],
      "numbering 'loose' is unknown; expected dense or gap"
    ),
    (
      ["quantize", "model", "--type", "int8", "--dry-run", "--for", "luck"],
      "program 'luck' is unknown; expected decant, diffusers, sdnq, checkpoint, comfyui or sdcpp"
    ),
    (
      ["quantize", "model", "--type", "int8", "--dry-run", "--to", "diffusers"],
      "a diffusers folder cannot hold int8 weights; choose --for sdnq, or choose --to decant or --to gguf, or choose --type f16"
    ),
    (["convert", "model", "-o", ""], "-o is given an empty value; give it one, or leave -o out"),
    (
      ["convert", "model", "-o", "a", "--lora="],
      "--lora is given an empty value; give it one, or leave --lora out"
    ),
    (
      ["generate", "model", "-p", "", "--mask", "", "-o", "a.png"],
      "--mask is given an empty value; give it one, or leave --mask out"
    ),
    (
      ["convert", "", "-o", "a"],
      "an argument is empty where the name of a file or folder is expected; is a variable not set?"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--crop", "0,8", "--quiet"],
      "model is Stable Diffusion 1.x of other sizes, which has no conditioning on crop; leave --crop out"
    ),
    (
      [
        "generate", "model", "-p", "x", "-o", "a.png", "--crop", "0,8", "--target-size", "64x64",
        "--quiet",
      ],
      "model is Stable Diffusion 1.x of other sizes, which has no conditioning on crop and target size; leave --crop and --target-size out"
    ),
    (
      ["verify", "model", "model", "--scheduler", "luck", "--quiet"],
      "scheduler 'luck' is unknown; expected pndm, ddim, euler, euler-a, dpm++2m, dpm++2m-karras or lcm"
    ),
    (
      ["calibrate", "model", "-o", "a", "--size", "12x16", "--quiet"],
      "an image size of 12x16 is not supported; expected multiples of 8 from 8 to 8192"
    ),
    (
      ["bench", "model", "--size", "12x16", "--quiet"],
      "an image size of 12x16 is not supported; expected multiples of 8 from 8 to 8192"
    ),
    (
      ["shrink", "model", "-o", "a.decant", "--type", "f16", "--steps", "2000", "--quiet"],
      "PNDMScheduler cannot run 2000 steps; expected 1 to 1000"
    ),
    (
      ["convert", "model", "-o", "a.decant", "--lora", "model", "--quiet"],
      "model: is a whole model, not an adapter; use it as the model, or name a file of LoRA or another adapter"
    ),
    (
      ["inspect", "model", "--ema"],
      "model: a diffusers folder holds one set of weights, without a moving average beside it; leave --ema out"
    ),
    (
      ["convert", "model", "-o", "no/a.decant"],
      "no/a.decant: the folder FOLDER/no does not exist; create it first"
    ),
    (
      ["strip", "model", "-o", "a", "--recipe", "bk-sdm-huge"],
      "unknown recipe 'bk-sdm-huge' (did you mean 'bk-sdm-base'?); expected bk-sdm-base, bk-sdm-small, bk-sdm-tiny, ssd-1b, segmind-vega, koala-700m, koala-1b, bk-sdm-v2-base, bk-sdm-v2-small, bk-sdm-v2-tiny, segmind-small-sd, segmind-tiny-sd"
    ),
    (
      ["strip", "model", "-o", "a", "--drop", "down_blocks.0.resnets.9"],
      "model/unet/config.json: the U-Net has no block 'down_blocks.0.resnets.9'; choose --drop down_blocks.0.resnets.0 or --drop down_blocks.1.resnets.0"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int3"],
      "type 'int3' is unknown (did you mean 'int5', 'int6' or 'int8'?); expected f32, f16, bf16, int16, int8, int8-g32, int8-g64, int8-g128, int6, int5, int5-g32, int4-g32, int4-g64, q6_k, q5_k, q4_k, fp8 or int8-convrot"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8", "--method", "luck"],
      "rounding method 'luck' is unknown; expected round, mse or gptq"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8", "--assign", "conv_out"],
      "assignment 'conv_out' is not PATTERN=TYPE, such as 'conv_out=int8'"
    ),
    (
      ["quantize", "model", "-o", "a", "--type", "int8"],
      "a: a diffusers folder cannot hold int8 weights; choose --for sdnq, or give the output the ending .decant or .gguf, or choose --type f16"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8", "--calibration", "nothing"],
      "cannot open nothing: No such file or directory"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.jpg"],
      "a.jpg: images are written as PNG; give a name that ends in .png"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--grid", "./a.png"],
      "./a.png: two outputs have this name; give each its own name"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--scheduler", "luck"],
      "scheduler 'luck' is unknown; expected pndm, ddim, euler, euler-a, dpm++2m, dpm++2m-karras or lcm"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "."],
      ".: is a folder, expected a file; name a file in it"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "-W", "63", "--quiet"],
      "an image size of 63x64 is not supported; expected multiples of 8 from 8 to 8192"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--guidance-scale", "nan", "--quiet"],
      "the guidance scale is nan, expected a finite number"
    ),
    (
      ["generate", "model", "-p", "x", "-o", "a.png", "--steps", "5000", "--quiet"],
      "PNDMScheduler cannot run 5000 steps; expected 1 to 1000"
    ),
    (
      ["extract", "model", "--component", "clip-g", "-o", "a.safetensors"],
      "model: the model has no clip-g; choose --component clip-l or --component text-encoder or --component vae or --component unet"
    ),
    (
      ["extract", "model", "--component", "vae", "-o", "vae.gguf"],
      "vae.gguf: a safetensors file of one component has another name; expected one that ends in .safetensors; give another name"
    ),
    (
      ["extract", "model", "--component", "vae", "-o", "a.safetensors", "--type", "int8"],
      "a.safetensors: a safetensors file of one component cannot hold int8 weights of component 'vae'; choose --type f16"
    ),
    (
      ["quantize", "model", "-o", "a.decant", "--type", "int8", "--rest-type", "int8"],
      "type of the other weights 'int8' is quantized; expected f32, f16 or bf16"
    ),
    (
      ["quantize", "model", "-o", "a.safetensors", "--type", "f16", "--text-encoder-type", "INT8"],
      "a.safetensors: a single-file checkpoint cannot hold int8 weights of component 'text_encoder'; give the output the ending .decant, or leave --text-encoder-type out"
    ),
    (
      ["verify", "model", "nothing", "--quiet"], "nothing: there is no such file or folder"
    ),
    (
      ["calibrate", "--merge", "a", "b", "-o", "c"], "cannot open a: No such file or directory"
    ),
    (
      ["synthesize", "--family", "sd-v9", "-o", "a"],
      "family 'sd-v9' is unknown; expected sd-v1-4, sd-v1-5, sd-v1-5-inpainting, bk-sdm-base, bk-sdm-small, bk-sdm-tiny, segmind-small-sd, segmind-tiny-sd, lcm-dreamshaper-v7, sd-v2-1-base, sd-v2-1, sd-v2-inpainting, sd-turbo, bk-sdm-v2-base, bk-sdm-v2-small, bk-sdm-v2-tiny, sdxl-base-1.0, sdxl-turbo, lcm-sdxl, ssd-1b, segmind-vega, koala-700m, koala-1b or sdxl-refiner-1.0"
    ),
  ])
  func impossibleRequestsAreRefused(arguments: [String], sentence: String) throws {
    try withModel { folder in
      try expectDecant(arguments, in: folder, exit: 2, stderr: "decant: " + sentence)
      #expect(try names(folder) == ["model"])
    }
  }

  @Test(arguments: ["model", "model/", "./model", "model/../model", "model/unet/x.decant"])
  func anInputIsNeverWrittenTo(output: String) throws {
    try withModel { folder in
      try expectDecant(
        ["convert", "model", "-o", output, "--to", "decant", "--force"], in: folder, exit: 2,
        stderr:
          "decant: \(output): the output is the input model or is inside it; inputs are never changed; give another name"
      )
    }
  }

  @Test func anInputBehindALinkIsNotAnOutput() throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "a.decant", "--quiet"], in: folder)
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/b.decant", withDestinationPath: "a.decant")
      let before = try bytes(folder + "/a.decant")
      try expectDecant(
        ["convert", "a.decant", "-o", "b.decant", "--type", "f32", "--force"], in: folder, exit: 2,
        stderr:
          "decant: b.decant: the output is the input a.decant or is inside it; inputs are never changed; give another name"
      )
      #expect(try bytes(folder + "/a.decant") == before)
    }
  }

  @Test(arguments: [
    ["calibrate", "model", "-o", "a.decant"],
    ["forward", "model", "--component", "vae-decoder", "--inputs", "in", "-o", "a.decant"],
    ["generate", "model", "-p", "x", "--save-latents", "a.decant"],
  ])
  func aComponentsSourceIsNotAnOutput(command: [String]) throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "a.decant", "--quiet"], in: folder)
      try expectDecant(
        command + ["--vae", "a.decant", "--force"], in: folder, exit: 2,
        stderr:
          "decant: a.decant: the output is the input a.decant or is inside it; inputs are never changed; give another name"
      )
    }
  }

  @Test func foldersOfOtherFilesAreNotReplaced() throws {
    try withModel { folder in
      let verify = ["verify", "model", "model", "--report"]
      try expectDecant(
        verify + [".", "--force"], in: folder, exit: 2,
        stderr:
          "decant: .: the folder holds 'model', which does not belong to a report; only a report is replaced; give another name"
      )
      try FileManager.default.createDirectory(
        atPath: folder + "/photos/old", withIntermediateDirectories: true)
      try expectDecant(
        verify + ["photos", "--force"], in: folder, exit: 2,
        stderr:
          "decant: photos: the folder holds 'old', which does not belong to a report; only a report is replaced; give another name"
      )
      try expectDecant(
        ["convert", "model", "-o", "photos", "--force", "--quiet"], in: folder, exit: 2,
        stderr:
          "decant: photos is a folder without model_index.json; only a diffusers folder is replaced; give another name, or remove it"
      )
      try FileManager.default.copyItem(
        atPath: fixture("golden/pipeline"), toPath: folder + "/photos/copy")
      try expectDecant(
        ["convert", "photos/copy", "-o", "photos", "--force"], in: folder, exit: 2,
        stderr:
          "decant: photos: the output would replace the folder that holds the input photos/copy; give another name"
      )
      #expect(try names(folder) == ["model", "photos"])
      #expect(try names(folder + "/photos") == ["copy", "old"])
    }
  }

  @Test func nothingIsReplacedWithoutForce() throws {
    try withModel { folder in
      for output in ["a.decant", "a"] {
        let convert = ["convert", "model", "-o", output, "--quiet"]
        try expectDecant(convert, in: folder)
        try expectDecant(
          convert, in: folder, exit: 2,
          stderr: "decant: \(output) already exists; pass --force to replace it")
        try expectDecant(convert + ["--type", "bf16", "--force"], in: folder)
      }
      #expect(try names(folder) == ["a", "a.decant", "model"])
    }
  }

  @Test func tensorsOfWrongNamesAreRefused() throws {
    try withModel { folder in
      // A tensor of float32 that no component takes.
      let header = #"{"noise":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
      var file = Data([UInt8(header.utf8.count)] + [UInt8](repeating: 0, count: 7))
      file.append(Data(header.utf8))
      file.append(Data([0, 0, 0, 0]))
      try file.write(to: URL(fileURLWithPath: folder + "/in.safetensors"))
      try expectDecant(
        [
          "forward", "model", "--component", "vae-decoder", "--inputs", "in.safetensors", "-o",
          "out.safetensors",
        ], in: folder, exit: 2,
        stderr: "decant: in.safetensors: vae-decoder expects latent; found noise")
      try expectDecant(
        ["generate", "model", "-p", "x", "-o", "a.png", "--latents", "in.safetensors"], in: folder,
        exit: 2,
        stderr:
          "decant: in.safetensors: expected a tensor 'latents' [B,4,H/8,W/8], found noise")
      try expectDecant(
        [
          "generate", "model", "-p", "x", "--latents", "in.safetensors", "--save-latents",
          "in.safetensors", "--force",
        ], in: folder, exit: 2,
        stderr:
          "decant: in.safetensors: the output is the input in.safetensors or is inside it; inputs are never changed; give another name"
      )
      #expect(try names(folder) == ["in.safetensors", "model"])
    }
  }

  /// Latents that overflow become NaN, and NaN is no image.
  @Test func latentsThatOverflowAreRefused() throws {
    try withModel { folder in
      let header = #"{"latents":{"dtype":"F32","shape":[1,4,2,2],"data_offsets":[0,64]}}"#
      var file = Data([UInt8(header.utf8.count)] + [UInt8](repeating: 0, count: 7))
      file.append(Data(header.utf8))
      for _ in 0..<16 {
        file.append(
          contentsOf: (0..<4).map { UInt8(truncatingIfNeeded: Float(3e38).bitPattern >> (8 * $0)) })
      }
      try file.write(to: URL(fileURLWithPath: folder + "/in.safetensors"))
      let generate = [
        "generate", "model", "-p", "x", "-o", "a.png", "--latents", "in.safetensors", "--scheduler",
        "euler", "--steps", "2", "-W", "16", "-H", "16", "--quiet",
      ]
      try expectDecant(
        generate, in: folder, exit: 2,
        stderr:
          "decant: model: the latents are NaN or infinite after the last step; choose a smaller --guidance-scale, or choose another --scheduler, or check the model's weights with `decant inspect --check`"
      )
      #expect(try names(folder) == ["in.safetensors", "model"])
      try expectDecant(generate + ["--allow-nonfinite"], in: folder)
    }
  }

  @Test func damagedFilesAreRefused() throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "a.decant", "--quiet"], in: folder)
      let whole = try bytes(folder + "/a.decant")
      var flipped = whole
      flipped[whole.count / 2] ^= 1
      for damaged in [flipped, whole.dropLast(1), whole.prefix(40)] {
        try Data(damaged).write(to: URL(fileURLWithPath: folder + "/b.decant"))
        for arguments in [
          ["inspect", "b.decant", "--check", "--quiet"],
          ["convert", "b.decant", "-o", "c.decant", "--quiet"],
        ] {
          let ending = try expectDecant(arguments, in: folder, exit: 2)
          #expect(ending.errors.hasPrefix("decant: b.decant: "), "\(ending.errors)")
          #expect(ending.errors.split(separator: "\n").count == 1)
        }
      }
      #expect(try names(folder) == ["a.decant", "b.decant", "model"])
    }
  }

  @Test(arguments: ["convert", "quantize", "inspect", "generate"])
  func aMissingTensorIsNamed(command: String) throws {
    try withModel { folder in
      let copy = folder + "/copy"
      try FileManager.default.copyItem(atPath: fixture("golden/pipeline"), toPath: copy)
      let path = copy + "/unet/diffusion_pytorch_model.safetensors"
      var weights = Data(try bytes(path))
      // A name of the same length keeps all offsets of the file.
      let name = try #require(weights.range(of: Data("\"conv_in.weight\"".utf8)))
      weights.replaceSubrange(name, with: Data("\"conv_on.weight\"".utf8))
      try weights.write(to: URL(fileURLWithPath: path))
      let options: [String] =
        switch command {
        case "convert": ["-o", "a.decant"]
        case "quantize": ["-o", "a.decant", "--type", "int8"]
        case "generate": ["-p", "a", "-o", "a.png"]
        default: []
        }
      let ending = try expectDecant([command, "copy", "--quiet"] + options, in: folder, exit: 2)
      #expect(ending.errors.contains("copy: tensors do not fit the configs: unet 1 missing"))
      #expect(
        ending.errors.contains(
          "missing 'conv_in.weight' [16, 4, 3, 3] (did you mean 'conv_on.weight'?)"),
        "\(ending.errors)")
      #expect(try names(folder) == ["copy", "model"])
    }
  }

  @Test func nonfiniteWeightsAreRefused() throws {
    try withModel { folder in
      let copy = folder + "/copy"
      try FileManager.default.copyItem(atPath: fixture("golden/pipeline"), toPath: copy)
      let path = copy + "/vae/diffusion_pytorch_model.safetensors"
      var weights = try bytes(path)
      // float16's NaN as the last number of the file.
      weights.replaceSubrange(weights.count - 2..<weights.count, with: [0x00, 0x7e])
      try weights.write(to: URL(fileURLWithPath: path))
      let convert = ["convert", "copy", "-o", "a.decant", "--quiet"]
      let ending = try expectDecant(convert, in: folder, exit: 2)
      #expect(
        ending.errors.hasSuffix(
          "holds NaN or infinite numbers; the file is damaged or its training failed; pass --allow-nonfinite to use it anyway\n"
        ), "\(ending.errors)")
      #expect(try names(folder) == ["copy", "model"])
      try expectDecant(convert + ["--allow-nonfinite"], in: folder)
    }
  }

  /// `--help` works whatever DECANT_SIMD says.
  @Test func unknownInstructionSetsAreRefused() throws {
    try withModel { folder in
      func decant(_ arguments: [String], simd: String) throws -> Ending {
        try Decant.run(arguments, in: folder, environment: ["DECANT_SIMD": simd])
      }
      let refused = try decant(["inspect", "model"], simd: "avx3")
      #expect(refused.code == 2)
      #expect(
        refused.errors
          == "decant: DECANT_SIMD=avx3: unknown instruction set; expected portable, avx2, avx512, avx512-vnni or avx512-bf16\n"
      )
      #expect(try decant(["inspect", "--help"], simd: "avx3").code == 0)
      #expect(try decant(["inspect", "model"], simd: "portable").code == 0)
      #expect(try decant(["inspect", "model"], simd: "").code == 0)
    }
  }
}
