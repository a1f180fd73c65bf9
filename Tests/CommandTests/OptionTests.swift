import Foundation
import TestSupport
import Testing

/// Options: which names and values are accepted, and what is said of the others.
@Suite struct OptionTests {
  /// The same refusal in every command, with the nearest option.
  @Test(arguments: [
    (["generate", "model", "-p", "x", "--cfg", "4", "-o", "a.png"], "--cfg", "--guidance-scale"),
    (["generate", "model", "-p", "x", "--smapler", "ddim"], "--smapler", "--sampler"),
    (
      ["generate", "model", "-p", "x", "--guidance_scale", "3"], "--guidance_scale",
      "--guidance-scale"
    ),
    (["generate", "model", "-p", "x", "--negative", "y"], "--negative", "--negative-prompt"),
    (
      ["generate", "model", "-p", "x", "--num-inference-steps", "9"], "--num-inference-steps",
      "--steps"
    ),
    (["generate", "model", "-p", "x", "-steps", "9"], "-steps", "--steps"),
    (["generate", "model", "-p", "x", "-W64"], "-W64", "-W 64"),
    (["inspect", "model", "--chek"], "--chek", "--check"),
    (["convert", "model", "--Type=f16", "-o", "a"], "--Type", "--type"),
    (["extract", "model", "--componnet", "vae", "-o", "a"], "--componnet", "--component"),
    (["strip", "model", "--recipes", "bk-sdm-base", "-o", "a"], "--recipes", "--recipe"),
    (
      ["calibrate", "model", "--prompt-limits", "1", "-o", "a"], "--prompt-limits", "--prompt-limit"
    ),
    (["quantize", "model", "--dtype", "int8", "-o", "a"], "--dtype", "--type"),
    (["shrink", "model", "--out", "a"], "--out", "--output"),
    (["verify", "model", "model", "--min-pnsr", "30"], "--min-pnsr", "--min-psnr"),
    (["forward", "model", "--input", "a"], "--input", "--inputs"),
    (["bench", "model", "--thread", "1"], "--thread", "--threads"),
    (["synthesize", "--familly", "sd-v1-4"], "--familly", "--family"),
  ])
  func anUnknownOptionIsNamed(arguments: [String], option: String, near: String) throws {
    try withModel { folder in
      let ending = try expectDecant(arguments, in: folder, exit: 2)
      let lines = ending.errors.split(separator: "\n")
      #expect(
        lines.first == "decant: Unknown option '\(option)'. Did you mean '\(near)'?",
        "\(ending.errors)")
      #expect(lines.dropFirst().first?.hasPrefix("Usage: decant \(arguments[0]) ") == true)
      #expect(lines.last == "  See 'decant \(arguments[0]) --help' for more information.")
      #expect(ending.output.isEmpty)
      #expect(try names(folder) == ["model"])
    }
  }

  @Test(arguments: [
    (["--frobnicate"], "Unknown option '--frobnicate'."),
    (
      ["--recipe", "bk-sdm-base"],
      "Unknown option '--recipe'. It is an option of strip and shrink."
    ),
    (
      ["-m", "model"],
      "Unknown option '-m'. A model is named without an option: decant generate MODEL"
    ),
  ])
  func anUnknownOptionWithoutANearOne(arguments: [String], sentence: String) throws {
    try withModel { folder in
      let ending = try expectDecant(
        ["generate", "-p", "x", "-o", "a.png"] + arguments, in: folder, exit: 2)
      #expect(ending.errors.hasPrefix("decant: \(sentence)\n"), "\(ending.errors)")
    }
  }

  /// Values that look like options are values.
  @Test func valuesMayBeginWithAHyphen() throws {
    try withModel { folder in
      let ending = try expectDecant(
        [
          "generate", "model", "-p", "--cfg", "-n", "--nothing", "-o", "a.png", "--steps", "1",
          "--size", "16x16", "--quiet",
        ], in: folder)
      #expect(ending.output == "a.png\n")
    }
  }

  @Test(arguments: [
    (["-n", "a", "-n", "b"], "'-n' is given twice, with 'a' and 'b'"),
    (
      ["-n", "a", "--negative-prompt=b"],
      "'-n' and '--negative-prompt' are one option, given with 'a' and 'b'"
    ),
    (
      ["--cfg-scale", "1", "--guidance-scale", "2"],
      "'--cfg-scale' and '--guidance-scale' are one option, given with '1' and '2'"
    ),
  ])
  func anOptionIsGivenOnce(arguments: [String], fact: String) throws {
    try withModel { folder in
      let ending = try expectDecant(
        ["generate", "model", "-p", "x", "-p", "y", "-o", "a.png"] + arguments, in: folder, exit: 2)
      #expect(ending.errors.hasPrefix("decant: \(fact); give it once.\n"), "\(ending.errors)")
      #expect(try names(folder) == ["model"])
    }
  }

  @Test func namesOfOtherProgramsAreAccepted() throws {
    try withModel { folder in
      let generate = ["generate", "model", "-p", "x", "--steps", "2", "--quiet"]
      try expectDecant(
        generate + [
          "-o", "a.png", "--size", "32x16", "--cfg-scale", "3", "--sampler", "ddim",
        ], in: folder)
      try expectDecant(
        generate + [
          "-o", "b.png", "-W", "32", "-H", "16", "--guidance-scale", "3", "--scheduler", "ddim",
        ], in: folder)
      try expectDecant(
        generate + ["-o", "c.png", "-W", "32", "-H", "16", "--scheduler", "ddim"], in: folder)
      #expect(try bytes(folder + "/a.png") == bytes(folder + "/b.png"))
      #expect(try bytes(folder + "/a.png") != bytes(folder + "/c.png"))
      let both = try expectDecant(
        generate + ["-o", "d.png", "--size", "32x16", "-W", "32"], in: folder, exit: 2)
      #expect(both.errors.hasPrefix("decant: Give either --size WxH or -W and -H, not both.\n"))
    }
  }

  /// The stored type is the same under every name, and the file does not tell them apart.
  @Test(arguments: [
    ("f16", ["FP16", "float16"]), ("int8", ["INT8"]), ("int8-g32", ["Q8_0"]),
    ("int4-g32", ["int4", "q4_0"]), ("int5-g32", ["Q5_0"]), ("q4_k", ["Q4_K", "q4_k_m"]),
  ])
  func typesHaveUsualNames(type: String, others: [String]) throws {
    try withModel { folder in
      func quantized(_ name: String) throws -> Data {
        try expectDecant(
          ["quantize", "model", "-o", "\(name).decant", "--type", name, "--quiet"], in: folder)
        return try bytes(folder + "/\(name).decant")
      }
      let expected = try quantized(type)
      for other in others {
        let found = try quantized(other)
        #expect(found == expected, "\(other)")
      }
    }
  }

  /// The flag is another way to choose the type, of `shrink` too, whose type has a default.
  @Test func convrotIsAType() throws {
    try withModel { folder in
      func written(_ name: String, _ arguments: [String]) throws -> Data {
        try expectDecant(
          ["quantize", "model", "-o", name, "--quiet"] + arguments, in: folder)
        return try bytes(folder + "/" + name)
      }
      let rotated = try written("a.decant", ["--type", "int8-convrot"])
      for (index, arguments) in [
        ["--type", "int8", "--convrot"], ["--convrot", "-t", "I8"], ["--type", "convrot"],
        ["--type", "convrot", "--convrot"],
      ].enumerated() {
        #expect(try written("b\(index).decant", arguments) == rotated, "\(arguments)")
      }
      #expect(try written("c.decant", ["--type", "int8"]) != rotated)
      try expectDecant(
        ["shrink", "model", "-o", "d", "--for", "sdnq", "--convrot", "--quiet"], in: folder,
        exit: 2,
        stderr:
          "decant: d: a diffusers folder for SDNQ cannot hold int8-convrot weights; choose --type int8 or --type f16"
      )
    }
  }

  /// An unknown type is named as such.
  @Test(arguments: [
    ("quantize", "Q4_0", "--convrot needs --type int8, not int4-g32."),
    ("shrink", "fp16", "--convrot needs --type int8, not f16."),
    ("quantize", "luck", "type 'luck' is unknown; expected f32, "),
  ])
  func convrotNeedsAType(command: String, type: String, sentence: String) throws {
    try withModel { folder in
      let ending = try expectDecant(
        [command, "model", "-o", "a.decant", "--type", type, "--convrot"], in: folder, exit: 2)
      #expect(ending.errors.hasPrefix("decant: " + sentence), "\(ending.errors)")
      #expect(try names(folder) == ["model"])
    }
  }

  @Test func typesOfOtherOptionsHaveUsualNamesToo() throws {
    try withModel { folder in
      func written(_ name: String, _ arguments: [String]) throws -> Data {
        try expectDecant(arguments + ["-o", name, "--quiet"], in: folder)
        return try bytes(folder + "/" + name)
      }
      let quantize = ["quantize", "model", "--type", "int8"]
      let usual = try written(
        "a.decant", quantize + ["--rest-type", "fp32", "--assign", "conv_out=INT8"])
      let own = try written(
        "b.decant", quantize + ["--rest-type", "f32", "--assign", "conv_out=int8"])
      #expect(usual == own)
      let usualPlain = try written("c.decant", ["convert", "model", "--type", "BFloat16"])
      let ownPlain = try written("d.decant", ["convert", "model", "--type", "bf16"])
      #expect(usualPlain == ownPlain)
    }
  }

  /// A random seed is stated, and gives the same image when it is given.
  @Test func aRandomSeedIsStated() throws {
    try withModel { folder in
      let generate = [
        "generate", "model", "-p", "x", "--steps", "1", "--size", "16x16", "--seed",
      ]
      let first = try expectDecant(generate + ["-1", "-o", "a.png", "--quiet"], in: folder)
      let pattern = #/^a\.png\nrandom seed: (\d+)\n$/#
      let match = try #require(try pattern.firstMatch(in: first.output), "\(first.output)")
      let seed = String(match.1)
      let given = try expectDecant(generate + [seed, "-o", "b.png", "--quiet"], in: folder)
      #expect(given.output == "b.png\n")
      #expect(try bytes(folder + "/a.png") == bytes(folder + "/b.png"))
      let json = try expectDecant(
        generate + ["-1", "-o", "c.png", "--quiet", "--json"], in: folder)
      #expect(json.errors.isEmpty)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
      // Two random seeds of 32 bits are the same once in four billion runs.
      #expect(object["seed"] is Int && object["seed"] as? Int != Int(seed))
    }
  }

  @Test(arguments: [
    ["convert", "model", "-o", "-"], ["quantize", "model", "--type", "int8", "--output=-"],
    ["generate", "model", "-p", "x", "-o", "-"], ["generate", "model", "-p", "x", "--grid", "-"],
    ["verify", "model", "model", "--report", "-"],
  ])
  func standardOutputIsRefusedAsOutput(arguments: [String]) throws {
    try withModel { folder in
      let ending = try expectDecant(arguments, in: folder, exit: 2)
      #expect(
        ending.errors.hasSuffix(
          " -: outputs are files or folders, not standard output; give a name\n"),
        "\(ending.errors)")
      #expect(try names(folder) == ["model"])
    }
  }

  @Test func stripWithoutBlocksShowsItsOwnUsage() throws {
    try withModel { folder in
      try expectDecant(
        ["strip", "model", "-o", "a"], in: folder, exit: 2,
        stderr: """
          decant: Nothing to remove; give --max-error 2% with --calibration FILE (recommended), or \
          one of --to-size and --to-parameters with it, --recipe NAME and --drop BLOCK.
          Usage: decant strip [<options>] <model> --output <out>
            See 'decant strip --help' for more information.
          """)
    }
  }

  @Test(arguments: ["50KB", "1000000", "0.001GB", "1MiB"])
  func sizesHaveUnitsOrAreLarge(size: String) throws {
    try withModel { folder in
      try expectDecant(
        ["convert", "model", "-o", "a", "--max-shard-size", size, "--quiet"], in: folder)
      #expect(try names(folder) == ["a", "model"])
    }
  }

  /// A dry run writes nothing, so it replaces nothing.
  @Test func aDryRunAcceptsAnExistingOutput() throws {
    try withModel { folder in
      let quantize = ["quantize", "model", "--type", "int8", "-o", "a.decant", "--quiet"]
      try expectDecant(quantize, in: folder)
      let before = try bytes(folder + "/a.decant")
      let plan = try expectDecant(quantize + ["--dry-run"], in: folder)
      #expect(plan.output.contains("int8"), "\(plan.output)")
      #expect(try bytes(folder + "/a.decant") == before)
      #expect(try names(folder) == ["a.decant", "model"])
      try expectDecant(
        ["quantize", "model", "--type", "int8", "-o", "model", "--dry-run"], in: folder, exit: 2)
    }
  }

  @Test func aReportIsNamedWithoutDoubledSlashes() throws {
    try withModel { folder in
      let ending = try expectDecant(
        [
          "verify", "model", "model", "--steps", "1", "--prompt-limit", "1", "--size", "16x16",
          "--no-baselines", "--report", "report//", "--quiet",
        ], in: folder)
      #expect(ending.output.contains("report: report/index.html"), "\(ending.output)")
    }
  }

  @Test func verboseStatesSettingsAndTimes() throws {
    try withModel { folder in
      let ending = try expectDecant(
        [
          "generate", "model", "-p", "x", "-o", "a.png", "--steps", "1", "--size", "16x16",
          "--verbose",
        ], in: folder)
      let lines = ending.errors.split(separator: "\n").map(String.init)
      #expect(
        lines.first?.hasPrefix("decant ") == true && lines.first?.hasSuffix(" generate") == true)
      for line in ["  --steps 1", "  --guidance-scale 7.5 (default)", "reading model …"] {
        #expect(lines.contains(line), "\(line) in \(ending.errors)")
      }
      let times = lines.filter { $0.contains(#/^reading model: \d+\.\d\d s$/#) }
      #expect(times.count == 1, "\(ending.errors)")
      let both = try expectDecant(
        ["inspect", "model", "--quiet", "--verbose"], in: folder, exit: 2)
      #expect(both.errors.hasPrefix("decant: Give either --quiet or --verbose, not both.\n"))
    }
  }

  /// The settings of a calibration have no effect where a file is given.
  @Test func shrinkRefusesSettingsOfACalibrationBesideAFile() throws {
    try withModel { folder in
      let shrink = ["shrink", "model", "-o", "a.decant", "--calibration", "c"]
      for (options, names) in [
        (["--steps", "3"], "--steps has"),
        (["--seeds", "2", "--size", "16x16"], "--size and --seeds have"),
        (["--prompt-limit", "1"], "--prompt-limit has"),
      ] {
        let ending = try expectDecant(shrink + options, in: folder, exit: 2)
        #expect(
          ending.errors.hasPrefix("decant: \(names) no effect with --calibration, which is made "),
          "\(ending.errors)")
      }
      // The prompts are those of the verification too.
      try "a cat\n".write(toFile: folder + "/p.txt", atomically: true, encoding: .utf8)
      try expectDecant(
        shrink + ["--prompts", "p.txt", "--quiet"], in: folder, exit: 2,
        stderr: "decant: cannot open c: No such file or directory")
    }
  }

  /// Without a verification there is nothing to measure.
  @Test func shrinkRefusesSettingsOfAVerificationWithoutOne() throws {
    try withModel { folder in
      let shrink = ["shrink", "model", "-o", "a.decant", "--no-verify"]
      for (options, names) in [
        (["--min-psnr", "3"], "--min-psnr has no effect with --no-verify; leave it out."),
        (
          ["--max-step-error", "1", "--report", "r"],
          "--max-step-error and --report have no effect with --no-verify; leave them out."
        ),
        (["--pictures", "2"], "--pictures has no effect with --no-verify; leave it out."),
        (
          ["--calibration", "c", "--prompts", "p"],
          "--prompts has no effect with --calibration, which is made already; leave it out."
        ),
      ] {
        let ending = try expectDecant(shrink + options, in: folder, exit: 2)
        #expect(ending.errors.hasPrefix("decant: \(names)\n"), "\(ending.errors)")
      }
    }
  }

  @Test(arguments: [
    (["verify", "model", "model", "--pictures", "-1"], "--pictures takes 0 or more, not -1."),
    (
      ["verify", "model", "model", "--pictures", "0", "--max-latent-error", "1"],
      "--max-latent-error cannot be checked with --pictures 0; leave one of them out."
    ),
    (
      ["shrink", "model", "-o", "a", "--pictures", "0", "--min-ssim", "1"],
      "--min-ssim cannot be checked with --pictures 0; leave one of them out."
    ),
    (
      ["verify", "model", "model", "--effort", "slow"],
      "The value 'slow' is invalid for '--effort <level>'. Please provide one of 'quick', 'standard' or 'thorough'."
    ),
  ])
  func imagesOfAVerificationAreRefused(arguments: [String], message: String) throws {
    try withModel { folder in
      let ending = try expectDecant(arguments, in: folder, exit: 2)
      #expect(ending.errors.hasPrefix("decant: \(message)\n"), "\(ending.errors)")
    }
  }

  /// The most sensitive layers are kept by default, and none with a share of 0.
  @Test func theShareOfKeptLayers() throws {
    try withModel { folder in
      func kept(_ options: [String]) throws -> Int {
        let plan = try expectDecant(
          ["quantize", "model", "--type", "int8", "--dry-run", "--quiet", "--json"] + options,
          in: folder)
        return plan.output.split(separator: "most sensitive layers").count - 1
      }
      let standard = try kept([])
      #expect(standard > 0)
      #expect(try kept(["--keep-sensitive", "3%"]) == standard)
      #expect(try kept(["--keep-sensitive", "10"]) > standard)
      #expect(try kept(["--keep-sensitive", "0"]) == 0)
    }
  }

  /// Several sizes and parts of minutes, and a shard of the runs.
  @Test func calibratesPartsOfSeveralSizes() throws {
    try withModel { folder in
      let calibrate = [
        "calibrate", "model", "--steps", "1", "--prompt-limit", "3", "--size", "16x16,32x16",
        "--quiet",
      ]
      let whole = try expectDecant(calibrate + ["-o", "c", "--minutes", "59.5"], in: folder)
      #expect(whole.output.hasPrefix("c: 3 images, 1 step each, 16x16 or 32x16; "))
      let part = try expectDecant(
        calibrate + ["-o", "p", "--shard", "2/2", "--measure", "sensitivity"], in: folder)
      #expect(part.output.hasPrefix("p: 1 image, 1 step each, 16x16 or 32x16; "))
      #expect(try names(folder) == ["c", "model", "p", "p.sensitivity.json"])
    }
  }

  @Test func theVersion() throws {
    try withTemporaryFolder { folder in
      let ending = try expectDecant(["--version"], in: folder)
      #expect(ending.output == "0.2.0\n")
    }
  }

  /// Limits that apply by default are in the help.
  @Test(arguments: [
    ("verify", "all of --prompts FILE, of Decant's own 2 with quick, 4 with standard, 16 with"),
    ("verify", "(default: 6, 8 or 20 by --effort, 4 for turbo and LCM models)"),
    ("verify", "(default: 1 with quick, 2 with standard, 8 with thorough; one for each run of"),
    ("shrink", "2, 4 or 16 by --effort to calibrate, and the next ones to verify, of a file too"),
    ("calibrate", "40 prompts of Decant's own"),
    ("generate", "(default: 25)"), ("generate", "-1 picks a random one"),
    ("generate", "0.8; with --mask, 1"), ("bench", "(default: 4)"),
    ("convert", "(default: unchanged)"), ("quantize", "int8-g32 (q8_0, q8)"),
    ("extract", "(default: unchanged)"), ("quantize", "(default: --rest-type)"),
    ("quantize", "NAME/ with --for sdnq"), ("quantize", "NAME.gguf with --for sdcpp"),
    ("shrink", "which NAME.decant, NAME/ with --for sdnq and NAME.gguf with --for sdcpp can hold"),
    ("convert", "NAME.gguf (GGUF file)"),
    ("quantize", "(ConvRot): --type int8 becomes int8-convrot."),
    ("shrink", "(ConvRot): --type int8 becomes int8-convrot."),
    ("shrink", "segmind-tiny-sd"), ("strip", "segmind-tiny-sd"),
    ("inspect", "1 to 1024 (default: one per processor)"),
  ])
  func helpStatesDefaults(command: String, words: String) throws {
    try withTemporaryFolder { folder in
      let help = try expectDecant([command, "--help"], in: folder).output
      let text = help.split { $0.isWhitespace }.joined(separator: " ")
      #expect(text.contains(words), "\(help)")
    }
  }
}
