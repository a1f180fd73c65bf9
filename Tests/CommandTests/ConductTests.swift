import Foundation
import TestSupport
import Testing

/// Behaviour that all commands share.
@Suite struct ConductTests {
  static let commands = [
    "inspect", "convert", "extract", "strip", "distill", "calibrate", "plan", "quantize", "shrink",
    "verify",
    "generate",
    "forward", "bench", "serve", "synthesize",
  ]

  @Test(arguments: commands)
  func helpShowsAnExample(command: String) throws {
    try withModel { folder in
      let ending = try expectDecant([command, "--help"], in: folder)
      #expect(ending.output.contains("Example: decant \(command) "))
      for option in ["--quiet", "--verbose", "--json", "--threads"] {
        #expect(ending.output.contains(option), "\(option)")
      }
      #expect(ending.errors.isEmpty)
    }
  }

  @Test(arguments: [
    ["inspect", "model", "--tensors", "--check"],
    ["convert", "model", "-o", "a.decant"],
    ["extract", "model", "--component", "vae", "-o", "a.safetensors"],
    ["strip", "model", "-o", "a", "--drop", "mid_block"],
    ["distill", "model", "model", "-o", "a", "--link"],
    ["calibrate", "model", "-o", "a", "--steps", "1", "--prompt-limit", "1", "--size", "16x16"],
    ["quantize", "model", "-o", "a.decant", "--type", "int8"],
    ["quantize", "model", "--type", "int4-g32", "--dry-run"],
    ["verify", "model", "model", "--steps", "1", "--prompt-limit", "1", "--size", "16x16"],
    [
      "generate", "model", "-p", "-x", "-n", "-y", "-o", "a.png", "--steps", "1", "-W", "16", "-H",
      "16",
    ],
    ["bench", "model", "--steps", "1", "--size", "16x16", "--guidance-scale", "1"],
  ])
  func jsonIsTheOnlyStandardOutput(arguments: [String]) throws {
    try withModel { folder in
      let ending = try expectDecant(arguments + ["--json"], in: folder)
      let object = try JSONSerialization.jsonObject(with: Data(ending.output.utf8))
      #expect(object is [String: Any])
    }
  }

  @Test func benchMeasuresEachArithmetic() throws {
    try withModel { folder in
      let ending = try expectDecant(
        [
          "bench", "model", "--steps", "2", "--size", "16x16", "--guidance-scale", "1",
          "--compute", "f32,f32-direct,int8", "--profile", "--json", "--quiet",
        ], in: folder)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? [String: Any])
      #expect(object["machine"] is String)
      let rows = try #require(object["models"] as? [[String: Any]])
      #expect(rows.map { $0["compute"] as? String } == ["f32", "f32-direct", "int8"])
      for row in rows {
        #expect(row["name"] as? String == "model" && row["family"] is String)
        for key in [
          "threads", "parameters", "file_bytes", "seconds_per_step", "cpu_seconds_per_step",
          "seconds_per_picture", "peak_bytes",
        ] { #expect((row[key] as? Double ?? 0) > 0, "\(key)") }
        let profile = try #require(row["profile"] as? [String: Any])
        let whole = try #require(profile["seconds"] as? Double)
        let operations = try #require(profile["operations"] as? [[String: Any]])
        let sum = operations.reduce(0) { $0 + ($1["seconds"] as? Double ?? 0) }
        #expect(abs(sum - whole) < 1e-6 * whole)
        let blocks = try #require(profile["blocks"] as? [[String: Any]])
        let names = blocks.compactMap { $0["name"] as? String }
        #expect(names.contains("conv_in") && names.contains("decoder.conv_out"))
        let processor = blocks.reduce(0) { $0 + ($1["cpu_seconds"] as? Double ?? 0) }
        #expect(processor > 0)
      }
    }
  }

  @Test func quietPrintsOnlyTheResult() throws {
    try withModel { folder in
      let convert = ["convert", "model", "-o", "a.decant", "--force"]
      let loud = try expectDecant(convert, in: folder, stderr: "writing a.decant …")
      let quiet = try expectDecant(convert + ["--quiet"], in: folder)
      #expect(quiet.errors.isEmpty)
      #expect(quiet.output == loud.output)
    }
  }

  @Test func outputIsTheSameForAnyThreadCount() throws {
    try withModel { folder in
      let quantize = ["quantize", "model", "--type", "int8", "--quiet", "-o"]
      try expectDecant(quantize + ["a.decant", "--threads", "1"], in: folder)
      try expectDecant(quantize + ["b.decant", "--threads", "2"], in: folder)
      try expectDecant(quantize + ["c.decant"], in: folder)
      let first = try bytes(folder + "/a.decant")
      #expect(try bytes(folder + "/b.decant") == first)
      #expect(try bytes(folder + "/c.decant") == first)

      let generate = [
        "generate", "a.decant", "-p", "x", "--steps", "2", "-W", "32", "-H", "32", "--quiet", "-o",
      ]
      try expectDecant(generate + ["a.png", "--threads", "1"], in: folder)
      try expectDecant(generate + ["b.png", "--threads", "2"], in: folder)
      #expect(try bytes(folder + "/a.png") == bytes(folder + "/b.png"))
    }
  }

  @Test func unmetLimitsExitWithCode1() throws {
    try withModel { folder in
      try expectDecant(
        ["quantize", "model", "-o", "a.decant", "--type", "int4-g64", "--quiet"], in: folder)
      let verify = [
        "verify", "model", "a.decant", "--steps", "1", "--prompt-limit", "1", "--size", "16x16",
        "--no-baselines", "--quiet",
      ]
      try expectDecant(verify + ["--min-psnr", "1"], in: folder)
      let ending = try expectDecant(
        verify + ["--min-psnr", "300", "--max-latent-error", "1e-9", "--report", "report"],
        in: folder, exit: 1)
      #expect(
        ending.errors.hasPrefix(
          "decant: the candidate does not meet its thresholds: least PSNR of an image is "))
      #expect(ending.errors.contains("at least 300.0 dB is required; largest error"))
      // The report is written although a limit is not met.
      #expect(try names(folder + "/report") == ["index.html", "report.json"])
    }
  }

  @Test func namesMayHaveOneLetter() throws {
    try withModel { folder in
      try expectDecant(["convert", "model", "-o", "y", "--quiet"], in: folder)
      try expectDecant(["convert", "y", "-o", "z", "--to", "decant", "--quiet"], in: folder)
      #expect(try names(folder) == ["model", "y", "z"])
    }
  }

  @Test func severalImagesAreNumbered() throws {
    try withModel { folder in
      try expectDecant(
        [
          "generate", "model", "-p", "a", "-p", "b", "--count", "2", "--steps", "1", "-W", "16",
          "-H", "16", "-o", "a.png", "--grid", "grid.png", "--seed", "18446744073709551615",
          "--guidance-scale", "-1", "--quiet",
        ], in: folder)
      #expect(
        try names(folder) == ["a-1.png", "a-2.png", "a-3.png", "a-4.png", "grid.png", "model"])
    }
  }

  /// Without SIGHUP where the tests run with it ignored: children inherit that.
  private static let signals: [Int32] = {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("SigIgn:") } ?? ""
    let isIgnored = line.last.flatMap(\.hexDigitValue).map { $0 & 1 == 1 } ?? true
    return isIgnored ? [SIGINT, SIGTERM] : [SIGINT, SIGTERM, SIGHUP]
  }()

  @Test(arguments: signals)
  func anInterruptLeavesNoFile(signal: Int32) throws {
    try withModel { folder in
      let running = try Decant.start(
        ["generate", "model", "-p", "x", "-o", "a.png", "--steps", "900"], in: folder)
      try running.waitFor("generating with model")
      kill(running.process.processIdentifier, signal)
      let ending = try running.end()
      #expect(ending.code == 130)
      #expect(
        ending.errors.hasSuffix("decant: interrupted; nothing is left half written\n"),
        "\(ending.errors)")
      #expect(try names(folder) == ["model"])
    }
  }

  /// A step of this size takes many seconds.
  @Test(arguments: signals)
  func anInterruptEndsAStep(signal: Int32) throws {
    try withModel { folder in
      let running = try Decant.start(
        ["generate", "model", "-p", "x", "-o", "a.png", "--steps", "2", "--size", "2048x2048"],
        in: folder)
      try running.waitFor("generating with model")
      Thread.sleep(forTimeInterval: 0.5)
      let start = ContinuousClock.now
      kill(running.process.processIdentifier, signal)
      #expect(try running.end().code == 130)
      // Within a second, where other tests leave it a processor.
      #expect(ContinuousClock.now - start < .seconds(5))
    }
  }

  @Test func whatTheMemoryDoesNotHoldIsRefused() throws {
    try withModel { folder in
      let generate = ["-p", "x", "-o", "a.png", "--steps", "1", "--size", "8192x8192"]
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      // A limit of 4 GiB, in KiB.
      process.arguments =
        [
          "-c", "ulimit -v 4194304 && exec \"$0\" generate model \"$@\"",
          try #require(builtProgram),
        ]
        + generate
      process.currentDirectoryURL = URL(fileURLWithPath: folder)
      let errors = Pipe()
      process.standardError = errors
      try process.run()
      let message = String(
        decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationStatus == 2)
      #expect(
        message.contains("decant: making an image of 8192x8192 needs at least "), "\(message)")
      #expect(message.hasSuffix(" is free; choose a smaller --size\n"), "\(message)")
      #expect(try names(folder) == ["model"])
    }
  }

  /// `bench` measures more than one model in child processes.
  @Test func anInterruptEndsAMeasurement() throws {
    try withModel { folder in
      let running = try Decant.start(
        ["bench", "model", "--compute", "f32,int8", "--steps", "900", "--size", "64x64"],
        in: folder)
      try running.waitFor("measuring model, f32")
      Thread.sleep(forTimeInterval: 0.5)
      let start = ContinuousClock.now
      kill(running.process.processIdentifier, SIGINT)
      #expect(try running.end().code == 130)
      #expect(ContinuousClock.now - start < .seconds(10))
    }
  }

  @Test func whatAChildProcessRefusesIsReportedOnce() throws {
    try withModel { folder in
      try expectDecant(
        ["bench", "model", "--compute", "f32,int8", "--size", "12x16", "--quiet"], in: folder,
        exit: 2,
        stderr:
          "decant: an image size of 12x16 is not supported; expected multiples of 8 from 8 to 8192")
    }
  }

  @Test func anInterruptedCalibrationResumes() throws {
    try withModel { folder in
      // 48 images, so that the signal comes long before the last one.
      let calibrate = [
        "calibrate", "model", "--steps", "4", "--prompt-limit", "6", "--seeds", "8", "--size",
        "64x64", "-o",
      ]
      try expectDecant(calibrate + ["whole"], in: folder)
      let running = try Decant.start(calibrate + ["a"], in: folder)
      for _ in 0..<6000 where running.process.isRunning {
        if FileManager.default.fileExists(atPath: folder + "/a.partial") { break }
        Thread.sleep(forTimeInterval: 0.005)
      }
      kill(running.process.processIdentifier, SIGINT)
      let ending = try running.end()
      #expect(ending.code == 130)
      #expect(
        ending.errors.hasSuffix(
          "decant: interrupted; nothing is left half written; a.partial keeps the finished images; pass --resume to continue from there\n"
        ), "\(ending.errors)")
      #expect(try names(folder) == ["a.partial", "model", "whole"])
      try expectDecant(calibrate + ["a"], in: folder, exit: 2)
      try expectDecant(calibrate + ["a", "--resume", "--quiet"], in: folder)
      #expect(try bytes(folder + "/a") == bytes(folder + "/whole"))
      #expect(try names(folder) == ["a", "model", "whole"])
    }
  }

  /// `shrink` has no --resume: the same command continues.
  @Test func anInterruptedShrinkStatesHowToResume() throws {
    try withModel { folder in
      let running = try Decant.start(
        [
          "shrink", "model", "-o", "a.decant", "--steps", "4", "--seeds", "100", "--size", "64x64",
        ], in: folder)
      for _ in 0..<6000 where running.process.isRunning {
        if FileManager.default.fileExists(atPath: folder + "/a.decant.calibration.partial") {
          break
        }
        Thread.sleep(forTimeInterval: 0.005)
      }
      kill(running.process.processIdentifier, SIGINT)
      let ending = try running.end()
      #expect(ending.code == 130)
      #expect(
        ending.errors.hasSuffix(
          "decant: interrupted; nothing is left half written; a.decant.calibration.partial keeps the finished images; run the same command again to continue from there\n"
        ), "\(ending.errors)")
      #expect(try names(folder) == ["a.decant.calibration.partial", "model"])
    }
  }

  @Test func promptFilesHoldNegativePrompts() throws {
    try withModel { folder in
      try "cat\ncat\tdog\n".write(
        toFile: folder + "/prompts.txt", atomically: true, encoding: .utf8)
      let ending = try expectDecant(
        [
          "verify", "model", "model", "--prompts", "prompts.txt", "--steps", "1", "--size", "16x16",
          "--no-baselines", "--report", "report", "--json", "--quiet",
        ], in: folder)
      let report = try #require(
        try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? [String: Any])
      let pictures = try #require(report["pictures"] as? [[String: Any]])
      #expect(pictures.map { $0["negative_prompt"] as? String } == ["", "dog"])
      let settings = try #require(report["settings"] as? [String: Any])
      #expect(settings["negative_prompts"] as? [String] == ["", "dog"])
      let page = String(decoding: try bytes(folder + "/report/index.html"), as: UTF8.self)
      #expect(page.contains("“cat”, negative prompt “dog”"))
    }
  }

  @Test func resizingAnInitImageIsNoted() throws {
    try withModel { folder in
      let paint = ["generate", "model", "--steps", "1"]
      try FileManager.default.copyItem(
        atPath: fixture("mini-sdxl/crops.png"), toPath: folder + "/in.png")
      let begin = paint + ["-p", "a", "--init-image", "in.png", "--strength", "1"]
      let ending = try expectDecant(begin + ["-o", "a.png"], in: folder)
      let note =
        "note: in.png is 796x268, and sides must be multiples of 8; it is resized to 792x264, as diffusers does; pass --size for another size\n"
      #expect(ending.errors.contains(note), "\(ending.errors)")
      let told = try expectDecant(begin + ["-o", "b.png", "-W", "40", "-H", "24"], in: folder)
      #expect(!told.errors.contains("note:"), "\(told.errors)")
    }
  }
}
