import Foundation
import TestSupport
import Testing

/// Descriptions of models, adapters and other files.
@Suite struct InspectTests {
  /// A safetensors file of zeros in float16.
  private func write(_ tensors: [(name: String, shape: [Int])], to path: String) throws {
    var header: [String] = []
    var offset = 0
    for (name, shape) in tensors {
      let end = offset + shape.reduce(2, *)
      header.append(
        #""\#(name)":{"dtype":"F16","shape":\#(shape),"data_offsets":[\#(offset),\#(end)]}"#)
      offset = end
    }
    let text = Data("{\(header.joined(separator: ","))}".utf8)
    var file = Data((0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) })
    file.append(text)
    file.append(Data(count: offset))
    try file.write(to: URL(fileURLWithPath: path))
  }

  private let unet: [(name: String, shape: [Int])] = [
    ("input_blocks.0.0.weight", [8, 5, 3, 3]), ("out.2.weight", [4, 8, 3, 3]),
    ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", [8, 768]),
    ("input_blocks.1.0.in_layers.2.weight", [8, 8, 3, 3]),
    ("input_blocks.1.0.out_layers.3.weight", [8, 8, 3, 3]),
  ]

  @Test func aFileOfAnotherModel() throws {
    try withTemporaryFolder { folder in
      try write(
        [
          ("double_blocks.0.img_attn.qkv.weight", [9, 3]),
          ("single_blocks.0.linear1.weight", [2, 2]),
          ("img_in.weight", [3, 64]),
        ], to: folder + "/flux.safetensors")
      let ending = try expectDecant(
        ["inspect", "flux.safetensors"], in: folder, exit: 2,
        stderr:
          "decant: flux.safetensors: a safetensors file of Flux, a diffusion transformer without a U-Net; it holds 3 tensors (double_blocks. 1, img_in. 1 and single_blocks. 1); use a Stable Diffusion 1, 2 or XL model that makes images from text"
      )
      for line in [
        "flux.safetensors: not a model, safetensors file, ", ", 3 tensors, 223 numbers",
        "looks like Flux, a diffusion transformer without a U-Net", "no family is similar",
        "img_in.weight   [3, 64]",
      ] { #expect(ending.output.contains(line), "\(ending.output)") }
    }
  }

  @Test func aUNetOfAnUnknownFamily() throws {
    try withTemporaryFolder { folder in
      try write(unet, to: folder + "/a.safetensors")
      let ending = try expectDecant(
        ["inspect", "a.safetensors"], in: folder, exit: 2,
        stderr:
          "decant: a.safetensors: the U-Net has 1 level down and 0 up, expected as many up as down"
      )
      #expect(
        ending.output.contains(
          "most similar family: sd-v1-4; this file has 5 input channels, not 4; 8 channels at the first level, "
            + "not 320"),
        "\(ending.output)")
      let json = try expectDecant(["inspect", "a.safetensors", "--json"], in: folder, exit: 2)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
      #expect(object["nearest_family"] as? String == "sd-v1-4")
      #expect((object["problem"] as? String)?.contains("1 level down") == true)
      #expect((object["groups"] as? [String: Int])?["input_blocks."] == 4)
    }
  }

  @Test func singleComponentsAreDescribed() throws {
    try withModel { folder in
      for (component, words) in [
        ("unet", "unet: 4 input and 4 output channels, levels of "),
        (
          "vae",
          "vae: 4 latent channels, latents of 1/8 of the image's width and height; it can replace the "
            + "vae of a model"
        ),
        ("text_encoder", " tokens; it can replace the text_encoder of a model"),
      ] {
        let ending = try expectDecant(["inspect", "model/\(component)"], in: folder)
        #expect(ending.output.contains(words), "\(ending.output)")
      }
    }
  }

  @Test(arguments: ["a.safetensors", "peft"])
  func adaptersAreDescribed(place: String) throws {
    try withTemporaryFolder { folder in
      let key = "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0."
      var tensors: [(name: String, shape: [Int])] = []
      for (layer, width) in [("attn1.to_q", 640), ("attn2.to_k", 768)] {
        tensors.append(("\(key)\(layer).lora_A.weight", [4, width]))
        tensors.append(("\(key)\(layer).lora_B.weight", [640, 4]))
      }
      try FileManager.default.createDirectory(
        atPath: folder + "/peft", withIntermediateDirectories: true)
      try #"{"lora_alpha": 8, "base_model_name_or_path": "some/model"}"#.write(
        toFile: folder + "/peft/adapter_config.json", atomically: true, encoding: .utf8)
      try write(tensors, to: folder + "/peft/adapter_model.safetensors")
      try write(tensors, to: folder + "/a.safetensors")
      let ending = try expectDecant(["inspect", place], in: folder)
      #expect(ending.errors.isEmpty)
      for words in [
        "adapters (LoRA) for 2 modules, safetensors file",
        "hint: pass --lora to merge it into a model",
        "rank        4", "components  unet 2", "targets     to_k 1 and to_q 1",
        "U-Nets with text embeddings of width 768: sd-v1",
      ] { #expect(ending.output.contains(words), "\(ending.output)") }
      for words in ["some/model", "alpha       8"] {
        #expect(ending.output.contains(words) == (place == "peft"), "\(ending.output)")
      }
      let json = try expectDecant(["inspect", place, "--json"], in: folder)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
      #expect(object["adapter"] as? Bool == true && object["modules"] as? Int == 2)
      #expect(object["ranks"] as? [String: Int] == ["4": 2])
    }
  }

  /// kohya's names call the transformers of other models a U-Net.
  @Test func adaptersOfOtherModelsAreNamed() throws {
    try withTemporaryFolder { folder in
      let key = "lora_unet_double_blocks_0_img_attn_proj.lora_"
      try write(
        [("\(key)down.weight", [4, 64]), ("\(key)up.weight", [64, 4])],
        to: folder + "/a.safetensors")
      let ending = try expectDecant(["inspect", "a.safetensors"], in: folder)
      #expect(
        ending.output.contains("components  a diffusion transformer such as Flux 1"),
        "\(ending.output)")
    }
  }

  @Test func unsupportedAdapterKindsAreNamed() throws {
    try withTemporaryFolder { folder in
      try write(
        [
          ("lora_unet_down_blocks_0_attentions_0_proj_in.oft_blocks", [2, 2, 2]),
          ("lora_unet_down_blocks_0_attentions_0_proj_in.rescale", [2, 2]),
        ],
        to: folder + "/a.safetensors")
      let ending = try expectDecant(["inspect", "a.safetensors"], in: folder)
      #expect(
        ending.output.contains("not a model by itself; Decant cannot merge OFT"),
        "\(ending.output)")
    }
  }

  /// A LoHa whose tensors are those of a LoRA is not supported either.
  @Test(arguments: [("XLORA", "XLORA"), ("LOHA", "LOHA with the tensors of LoRA")])
  func unsupportedPEFTMethodsAreNamed(type: String, said: String) throws {
    try withTemporaryFolder { folder in
      let key = "base_model.model.mid_block.attentions.0.proj_in.lora_"
      try write(
        [("\(key)A.weight", [4, 64]), ("\(key)B.weight", [64, 4])],
        to: folder + "/adapter_model.safetensors")
      try #"{"peft_type": "\#(type)"}"#.write(
        toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      let ending = try expectDecant(["inspect", "."], in: folder)
      #expect(
        ending.output.contains("not a model by itself; Decant cannot merge \(said)"),
        "\(ending.output)")
    }
  }

  /// `inspect` states which weights of a file it reads, and that there are others.
  @Test func movingAveragesAreNamed() throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "a.safetensors", "--quiet"], in: folder)
      var file = try bytes(folder + "/a.safetensors")
      // The file's own config does not mention averages.
      let plain = try expectDecant(["inspect", "a.safetensors"], in: folder)
      #expect(!plain.output.contains("moving average"))
      try expectDecant(
        ["inspect", "a.safetensors", "--ema"], in: folder, exit: 2,
        stderr:
          "decant: a.safetensors: holds no moving average of the weights (EMA); leave --ema out"
      )
      try write(
        [("model_ema.diffusion_modelout2weight", [4, 8])], to: folder + "/alone.safetensors")
      let alone = try expectDecant(
        ["inspect", "alone.safetensors"], in: folder, exit: 2,
        stderr:
          "decant: alone.safetensors: holds a moving average of a U-Net (EMA) and no other weights of it; pass --ema to read it"
      )
      #expect(alone.output.isEmpty)
      // Averages beside the plain weights: empty tensors, which are never read.
      let size = file.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
      var header = String(decoding: file[8..<8 + size], as: UTF8.self)
      let empty =
        #","model_ema.diffusion_modelx":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}}"#
      header = header.trimmingCharacters(in: .whitespaces)
      header.removeLast()
      header += empty
      while header.utf8.count % 8 != 0 { header += " " }
      let length = Data((0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) })
      file = length + Data(header.utf8) + file.dropFirst(8 + size)
      try file.write(to: URL(fileURLWithPath: folder + "/both.safetensors"))
      let both = try expectDecant(["inspect", "both.safetensors"], in: folder)
      #expect(
        both.output.contains(
          "left out: unet: an incomplete moving average, which has 1 of "
        ), "\(both.output)")
    }
  }

  /// The forms of a model with the command that makes each.
  @Test func formsAreListedWithTheirCommands() throws {
    try withModel { folder in
      let ending = try expectDecant(["inspect", "model", "--vram", "4GB"], in: folder)
      for words in [
        "forms fit in 4.00 GB for one image of ",
        "\n1 GB is 10^9 bytes; a GPU with 4 GiB has 4.29 GB.",
        "    decant quantize model -o model-int8-sdnq/ --type int8 --for sdnq\n",
        "    decant convert model -o model-f16/ --type f16\n",
      ] { #expect(ending.output.contains(words), "\(ending.output)") }
      // A .decant file runs on the processor only.
      #expect(!ending.output.contains(".decant"), "\(ending.output)")
      let none = try expectDecant(["inspect", "model", "--vram", "1KB"], in: folder)
      #expect(none.output.contains("\n0 of "), "\(none.output)")
      #expect(!none.output.contains("    decant "), "\(none.output)")
      #expect(none.output.contains("\ndiffusers with SDNQ, int8 "), "\(none.output)")
      // The forms replace the table of blocks.
      #expect(!none.output.contains("U-Net block"), "\(none.output)")
      try expectDecant(["inspect", "model", "--vram", "much"], in: folder, exit: 2)
      // One of the commands works as it is printed.
      try expectDecant(
        [
          "quantize", "model", "-o", "model-int8-sdnq/", "--type", "int8", "--for", "sdnq",
          "--quiet",
        ], in: folder)
    }
  }

  /// Every command writes another file, and no line of facts is longer than 80 characters.
  @Test func commandsOfFormsHaveDifferentOutputs() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/x", withDestinationPath: fixture("mini-sd"))
      let output = try expectDecant(["inspect", "x", "--vram", "4GB", "--quiet"], in: folder).output
      for words in [
        "    decant quantize x -o x-int8.gguf --type int8\n",
        "    decant quantize x -o x-int8-comfyui.gguf --type int8 --for comfyui\n",
      ] { #expect(output.contains(words), "\(output)") }
      let lines = output.split(separator: "\n").drop { !$0.hasPrefix("least rounding error first") }
      #expect(
        lines.count > 2 && lines.allSatisfy { $0.hasPrefix("    ") || $0.count <= 80 }, "\(output)")
      let commands = lines.filter { $0.hasPrefix("    decant ") }
      let outputs = commands.compactMap { $0.split(separator: " ").dropFirst(4).first }
      #expect(outputs.count == commands.count && Set(outputs).count == outputs.count, "\(output)")
      #expect(output.contains("14 of 14 forms fit in "), "\(output)")
      // Each program has its own heading, with its forms below.
      let headings = lines.dropFirst().filter { !$0.hasPrefix("  ") }.map(String.init)
      #expect(
        headings == [
          "diffusers", "diffusers with SDNQ", "other programs (single file)", "ComfyUI",
          "stable-diffusion.cpp", "ComfyUI-GGUF", "diffusers (GGUF)",
        ], "\(output)")
      #expect(output.contains(" U-Net alone\n    decant quantize x -o x-int8-comfyui.gguf "))
      #expect(
        output.contains(
          " convolutions stay f16\n    decant quantize x -o x-int8-comfyui.safetensors "))
    }
  }

  /// What does not fit comes last and has no command. Text encoders in int8 make a form fit.
  @Test func formsThatFitComeFirst() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/x", withDestinationPath: fixture("mini-sd"))
      let output = try expectDecant(["inspect", "x", "--vram", "9.4MB", "--quiet"], in: folder)
        .output
      for words in [
        " forms fit in 9.40 MB for one image of 64x64;\n",
        "\n  int8, text encoders int8 ",
        "    decant quantize x -o x-int8-text-int8-sdnq/ --type int8 --text-encoder-type int8 --for sdnq\n",
        "\ntoo large ", "\ndiffusers, f16 ", "\nstable-diffusion.cpp, int8 ",
        ": less memory with enable_model_cpu_offload() or vae.enable_tiling()\n",
        "\nstable-diffusion.cpp: less memory with --vae-tiling, --diffusion-fa or --offload-to-cpu\n",
      ] { #expect(output.contains(words), "\(output)") }
      let halves = output.components(separatedBy: "\ntoo large ")
      #expect(halves.count == 2 && !halves[1].contains("decant "), "\(output)")
      #expect(!halves[0].contains("convert x -o x-f16/"), "\(output)")
      try expectDecant(
        [
          "quantize", "x", "-o", "x-int8-text-int8-sdnq/", "--type", "int8",
          "--text-encoder-type", "int8", "--for", "sdnq", "--method", "round", "--quiet",
        ], in: folder)
    }
  }

  /// A program that cannot load the model has a line instead of forms.
  @Test func programsWithoutFormsSayWhy() throws {
    try withModel { folder in
      let ending = try expectDecant(["inspect", "model", "--vram", "4GB"], in: folder)
      let line = "\n\nstable-diffusion.cpp cannot load a U-Net with transformer depths "
      #expect(ending.output.contains(line), "\(ending.output)")
      #expect(!ending.output.contains("\nstable-diffusion.cpp\n"), "\(ending.output)")
    }
  }

  /// A U-Net alone has no forms, because making an image takes the other components.
  @Test func formsNeedACompleteModel() throws {
    try withModel { folder in
      let ending = try expectDecant(
        ["inspect", "model/unet", "--vram", "4GB", "--check"], in: folder, exit: 2,
        stderr:
          "decant: model/unet: components 'vae' and 'text_encoder' are missing; found unet; pass --vae MODEL and --text-encoder MODEL to add them"
      )
      #expect(ending.output.isEmpty)
      let whole = try expectDecant(
        [
          "inspect", "model/unet", "--vram", "4GB", "--vae", "model/vae", "--text-encoder",
          "model/text_encoder", "--quiet",
        ], in: folder)
      let command =
        "decant convert model/unet -o unet-f16.safetensors --type f16 --vae=model/vae --text-encoder=model/text_encoder\n"
      #expect(whole.output.contains("    " + command), "\(whole.output)")
    }
  }

  /// A shell runs the commands as they are printed, also for paths with spaces.
  @Test func commandsRunInAShell() throws {
    try withModel { folder in
      for name in ["it's my model", "my vae"] {
        try FileManager.default.createSymbolicLink(
          atPath: folder + "/" + name,
          withDestinationPath: fixture("golden/pipeline") + (name == "my vae" ? "/vae" : ""))
      }
      let ending = try expectDecant(
        ["inspect", "it's my model", "--vae", "my vae", "--vram", "4GB", "--quiet"], in: folder)
      let lines = ending.output.split(separator: "\n").filter { $0.hasPrefix("    decant ") }
      let refusal = try expectDecant(["my vae"], in: folder, exit: 2)
      #expect(
        refusal.errors.contains("for example: decant inspect 'my vae'\n"), "\(refusal.errors)")
      let program = try #require(builtProgram)
      for (line, output) in [
        (lines.first { $0.contains("--type int8 --for sdnq") }, "it's my model-int8-sdnq"),
        (lines.first { $0.contains("-o 'it'\\''s my model-f16/'") }, "it's my model-f16"),
      ] {
        let command = try #require(line, "\(ending.output)")
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.currentDirectoryURL = URL(fileURLWithPath: folder)
        shell.arguments = ["-c", "decant() { '\(program)' \"$@\" --quiet; }\n" + command]
        shell.standardOutput = FileHandle.nullDevice
        try shell.run()
        shell.waitUntilExit()
        #expect(shell.terminationStatus == 0, "\(command)")
        #expect(FileManager.default.fileExists(atPath: folder + "/" + output), "\(command)")
      }
    }
  }

  /// A path that begins with a hyphen is no option in the command.
  @Test func commandsNamePathsThatBeginWithAHyphen() throws {
    try withModel { folder in
      try FileManager.default.moveItem(atPath: folder + "/model", toPath: folder + "/-x")
      let ending = try expectDecant(["inspect", "--vram", "4GB", "--", "-x"], in: folder)
      #expect(
        ending.output.contains("    decant convert ./-x -o ./-x-f16/ --type f16\n"),
        "\(ending.output)")
      try expectDecant(
        ["convert", "./-x", "-o", "./-x-f16/", "--type", "f16", "--quiet"], in: folder)
    }
  }

  /// The command that makes a form can be copied, however long and unusual the path.
  @Test func commandsNameLongPathsCompletely() throws {
    try withModel { folder in
      let path = "it's a " + String(repeating: "m", count: 150)
      try FileManager.default.moveItem(
        atPath: folder + "/model", toPath: folder + "/" + path)
      let ending = try expectDecant(["inspect", path, "--vram", "4GB", "--quiet"], in: folder)
      let quoted = path.replacing("'", with: #"'\''"#)
      #expect(
        ending.output.contains(
          "decant convert '\(quoted)' -o '\(quoted)-f16/' --type f16\n"),
        "\(ending.output)")
    }
  }

  @Test func truncatingAPromptIsNoted() throws {
    try withModel { folder in
      let prompt = [String](repeating: "cat", count: 80).joined(separator: " ")
      let ending = try expectDecant(
        [
          "generate", "model", "-p", prompt, "-o", "a.png", "--steps", "1", "-W", "16", "-H", "16",
        ], in: folder)
      #expect(
        ending.errors.contains(
          "is longer than the 75 tokens that the text encoder of model reads; cut off, "),
        "\(ending.errors)")
      let short = try expectDecant(
        [
          "generate", "model", "-p", "cat", "-o", "b.png", "--steps", "1", "-W", "16", "-H", "16",
        ], in: folder)
      #expect(!short.errors.contains("cut off"))
    }
  }

  /// `--check` reads every number of an adapter file.
  @Test func adaptersAreChecked() throws {
    try withTemporaryFolder { folder in
      let key = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q."
      let path = folder + "/a.safetensors"
      try write(
        [("\(key)lora_A.weight", [4, 640]), ("\(key)lora_B.weight", [640, 4])], to: path)
      let sound = try expectDecant(["inspect", "a.safetensors", "--check", "--quiet"], in: folder)
      #expect(
        sound.output.contains("\nchecked: readable, finite; this format has no checksums\n"),
        "\(sound.output)")
      let plain = try expectDecant(["inspect", "a.safetensors"], in: folder)
      #expect(!plain.output.contains("checked"))
      let json = try expectDecant(
        ["inspect", "a.safetensors", "--check", "--json", "--quiet"], in: folder)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
      #expect(object["checked"] as? Bool == true)
      #expect(object["checksums"] as? String == "absent")

      // float16's infinity as the last number of the file.
      var file = try bytes(path)
      file.replaceSubrange(file.count - 2..<file.count, with: [0x00, 0x7c])
      try file.write(to: URL(fileURLWithPath: path))
      try expectDecant(
        ["inspect", "a.safetensors", "--check", "--quiet"], in: folder, exit: 2,
        stderr:
          "decant: a.safetensors: tensor '\(key)lora_B.weight' holds NaN or infinite numbers; its training failed"
      )
      try expectDecant(["inspect", "a.safetensors", "--quiet"], in: folder)

      // An alpha is read for the description too.
      try write(
        [
          ("\(key)lora_A.weight", [4, 640]), ("\(key)lora_B.weight", [640, 4]),
          ("\(key)alpha", [1]),
        ], to: path)
      file = try bytes(path)
      file.replaceSubrange(file.count - 2..<file.count, with: [0x00, 0x7e])
      try file.write(to: URL(fileURLWithPath: path))
      let told = try expectDecant(["inspect", "a.safetensors", "--quiet"], in: folder)
      #expect(told.output.contains("hint: pass --lora to merge it into a model"), "\(told.output)")
      try expectDecant(
        ["inspect", "a.safetensors", "--check", "--quiet"], in: folder, exit: 2,
        stderr:
          "decant: a.safetensors: tensor '\(key)alpha' holds NaN or infinite numbers; its training failed"
      )
    }
  }
}
