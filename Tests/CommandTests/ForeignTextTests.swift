import Foundation
import TestSupport
import Testing

/// Text of files never controls the terminal, forges a line of Decant's, or fills the screen.
@Suite struct ForeignTextTests {
  /// Clears the screen, colors text, rings, and writes a line that looks like one of Decant's.
  static let hostile = "x\u{1b}[2J\u{9b}31m\u{7}\u{202e}\r\ndecant: forged\n"
  /// The same as a string in JSON.
  static let json =
    "\"x\\u001b[2J\\u009b31m\\u0007\\u202e\\r\\ndecant: forged\\n\""

  private func expectPlain(
    _ arguments: [String], in folder: String, exit code: Int32? = nil,
    namesHostileOutput: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let ending = try Decant.run(arguments, in: folder)
    if let code { #expect(ending.code == code, sourceLocation: sourceLocation) }
    for text in [ending.output, ending.errors] {
      let bad = text.unicodeScalars.first {
        $0 != "\n" && $0 != "\t"
          && ($0.value < 0x20 || (0x7f...0x9f).contains($0.value) || $0 == "\u{202e}")
      }
      #expect(bad == nil, "\(text.debugDescription.prefix(500))", sourceLocation: sourceLocation)
      // A result names the output as the user did.
      #expect(
        namesHostileOutput || !text.contains("\ndecant: forged"), sourceLocation: sourceLocation)
      #expect(text.utf8.count < 60_000, sourceLocation: sourceLocation)
    }
  }

  private func write(_ bytes: [UInt8], _ path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  private func number(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private func safetensors(_ header: String) -> [UInt8] {
    number(header.utf8.count, 8) + Array(header.utf8)
  }

  @Test func namesOfTensorsAndMetadata() throws {
    let empty = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
    let long = "\"" + String(repeating: "n", count: 10_000_000) + "\""
    let headers = [
      "{\(Self.json):\(empty)}", "{\(Self.json):\(empty),\(Self.json):\(empty)}",
      "{\(Self.json):1}", "{\"a\":{\(Self.json):1}}", "{\"a\":{\"dtype\":\(Self.json)}}",
      "{\"__metadata__\":{\(Self.json):1}}",
      "{\"__metadata__\":{\"modelspec.title\":\(Self.json)},\(Self.json):\(empty)}",
      "{\"lora_unet_\(Self.json.dropFirst()):\(empty)}",
      "{\(long):\(empty)}", "{\(long):1,\(long):1}", "{\"a\":{\(long):1}}",
    ]
    try withTemporaryFolder { folder in
      for header in headers {
        try write(safetensors(header), folder + "/a.safetensors")
        for options in [[], ["--json"], ["--tensors", "--check"]] {
          try expectPlain(["inspect", "a.safetensors"] + options, in: folder)
        }
        try expectPlain(["convert", "a.safetensors", "-o", "b.decant"], in: folder, exit: 2)
      }
    }
  }

  @Test func namesInGGUFFilesAndPickles() throws {
    let name = Array(Self.hostile.utf8)
    let text = number(name.count, 8) + name
    let head = Array("GGUF".utf8) + number(3, 4)
    try withTemporaryFolder { folder in
      let files: [[UInt8]] = [
        head + number(0, 8) + number(1, 8) + text + number(77, 4) + number(0, 99),
        head + number(1, 8) + number(0, 8) + text + number(9, 4) + number(0, 99),
        head + number(1, 8) + number(0, 8) + text + number(0, 4) + number(99, 4) + number(0, 99),
        // A pickle of a class of this name, and one whose version is of it.
        [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]
          + [0x80, 2, 0x58] + number(name.count, 4) + name + [0x58, 1, 0, 0, 0, 0x61, 0x93, 0x2e],
      ]
      for bytes in files {
        try write(bytes, folder + "/a")
        try expectPlain(["inspect", "a"], in: folder, exit: 2)
      }
    }
  }

  /// Class names, values of the scheduler, tokens, merges, and the names of files.
  @Test func configsAndTokenizers() throws {
    let files: [(String, (String) -> String)] = [
      (
        "model_index.json",
        { $0.replacingOccurrences(of: "\"UNet2DConditionModel\"", with: Self.json) }
      ),
      ("model_index.json", { $0.replacingOccurrences(of: "\"PNDMScheduler\"", with: Self.json) }),
      ("model_index.json", { _ in "{\(Self.json):1}" }),
      (
        "unet/config.json",
        { $0.replacingOccurrences(of: "\"UNet2DConditionModel\"", with: Self.json) }
      ),
      ("unet/config.json", { $0.replacingOccurrences(of: "\"silu\"", with: Self.json) }),
      ("vae/config.json", { _ in "{\(Self.json):1,\(Self.json):2}" }),
      ("scheduler/scheduler_config.json", { _ in "{\"_class_name\":\(Self.json)}" }),
      (
        "scheduler/scheduler_config.json",
        { _ in "{\"_class_name\":\"DDIMScheduler\",\"beta_schedule\":\(Self.json)}" }
      ),
      (
        "scheduler/scheduler_config.json",
        { _ in "{\"_class_name\":\"DDIMScheduler\",\"prediction_type\":\(Self.json)}" }
      ),
      ("tokenizer/vocab.json", { _ in "{\(Self.json):-1}" }),
      ("tokenizer/vocab.json", { _ in "{\(Self.json):1,\"b\":1}" }),
      ("tokenizer/merges.txt", { _ in "#version: 0.2\n" + Self.hostile }),
      ("tokenizer/special_tokens_map.json", { _ in "{\"pad_token\":\(Self.json)}" }),
      ("tokenizer/tokenizer_config.json", { _ in "{\"added_tokens_decoder\":{\(Self.json):1}}" }),
    ]
    for (file, change) in files {
      try withTemporaryFolder { folder in
        try FileManager.default.copyItem(
          atPath: fixture("golden/pipeline"), toPath: folder + "/model")
        let path = folder + "/model/" + file
        let text = change(try String(contentsOfFile: path, encoding: .utf8))
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        try expectPlain(["inspect", "model"], in: folder)
        try expectPlain(["inspect", "model", "--json"], in: folder)
        try expectPlain(
          [
            "generate", "model", "-p", "ab", "-o", "a.png", "--steps", "1", "-W", "16", "-H", "16",
            "--verbose",
          ], in: folder)
      }
    }
  }

  @Test func chunksOfImages() throws {
    let chunk = number(0, 4) + Array("\u{1b}[2J".utf8) + number(0, 4)
    try withModel { folder in
      try write([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + chunk, folder + "/a.png")
      try expectPlain(
        ["generate", "model", "-p", "a", "-o", "b.png", "--init-image", "a.png"], in: folder,
        exit: 2)
    }
  }

  /// A name that the shell completes may hold anything but a slash.
  @Test func namesOfFiles() throws {
    let name = Self.hostile + ".safetensors"
    try withModel { folder in
      try write(safetensors("{}"), folder + "/" + name)
      try expectPlain(["inspect", name], in: folder, exit: 2)
      try expectPlain(["convert", name, "-o", "a.decant", "--verbose"], in: folder, exit: 2)
      try expectPlain(
        ["convert", "model", "-o", Self.hostile + ".decant"], in: folder, exit: 0,
        namesHostileOutput: true)
      try expectPlain(["inspect", Self.hostile + ".decant"], in: folder, exit: 0)
      try expectPlain(["convert", "model", "-o", Self.hostile + ".decant"], in: folder, exit: 2)
    }
  }
}
