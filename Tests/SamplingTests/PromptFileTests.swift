import Formats
import Foundation
import Sampling
import Support
import Tensors
import TestSupport
import Testing

@Suite("Prompt files")
struct PromptFileTests {
  @Test("have one prompt per line, comments and negative prompts")
  func parsing() throws {
    let text = """
      # what the model was trained on
      a red circle

        a blue square \t blurry, dark
      a\u{a0}green star\r
      """
    let prompts = try [Prompt](text: text, path: "prompts.txt")
    #expect(
      prompts == [
        Prompt("a red circle"),
        Prompt("a blue square", negativePrompt: "blurry, dark"),
        Prompt("a\u{a0}green star"),
      ])
  }

  @Test("may begin with a byte order mark, as some editors write it")
  func byteOrderMark() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/p.txt"
      try Data([0xef, 0xbb, 0xbf] + Array("a cat\n".utf8)).write(to: URL(fileURLWithPath: path))
      #expect(try [Prompt](path: path) == [Prompt("a cat")])
    }
  }

  @Test(
    "are refused with file and line",
    arguments: [
      ("", "p.txt: the file has no prompts; expected one prompt per line"),
      ("# nothing\n\n", "p.txt: the file has no prompts; expected one prompt per line"),
      (
        "a\nb\tc\td",
        "p.txt, line 2: more than one tab; expected a prompt, optionally followed by a tab and a "
          + "negative prompt"
      ),
      (
        "a\n \tb",
        "p.txt, line 2: a tab comes before the prompt; expected a prompt, optionally followed by a "
          + "tab and a negative prompt"
      ),
      ("a\n\nb\n a ", "p.txt, line 4: the prompt repeats line 1"),
    ])
  func refusals(text: String, message: String) {
    let error = #expect(throws: PromptFileError.self) {
      try [Prompt](text: text, path: "p.txt")
    }
    #expect(error?.description == message)
  }

  @Test("may be a JSON array of strings")
  func jsonArray() throws {
    let prompts = try [Prompt](path: fixture("mini-sd/prompts.json"))
    #expect(prompts.count == 96)
    #expect(prompts.first == Prompt("a large green cross at the top on a purple background"))
  }

  @Test(
    "of other JSON are refused",
    arguments: [
      (
        #"{"prompts": ["a"]}"#,
        "the file is JSON with an object; expected an array of strings, or a text file with one "
          + "prompt per line"
      ),
      (
        #"["a", 2]"#,
        "the file is JSON with an array whose entry 2 is not a string; expected an array of strings, "
          + "or a text file with one prompt per line"
      ),
      ("[]", "the file has no prompts; expected one prompt per line"),
      (#"["a", " "]"#, "prompt 2 of the JSON array is empty"),
      (#"["a", "b", "a"]"#, "prompt 3 of the JSON array repeats prompt 1"),
    ])
  func otherJSON(text: String, message: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/p.txt"
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      let error = #expect(throws: PromptFileError.self) { try [Prompt](path: path) }
      #expect(error?.description == "\(path): \(message)")
    }
  }

  @Test("of text may begin with a bracket, those that are named as JSON may not")
  func brackets() throws {
    try withTemporaryFolder { folder in
      let (text, json) = (folder + "/p.txt", folder + "/p.json")
      for path in [text, json] {
        try "[a|b] cat\na dog\n".write(toFile: path, atomically: true, encoding: .utf8)
      }
      #expect(try [Prompt](path: text) == [Prompt("[a|b] cat"), Prompt("a dog")])
      let error = #expect(throws: PromptFileError.self) { try [Prompt](path: json) }
      #expect(error?.description.hasPrefix("\(json): the file is JSON with an error: ") == true)
    }
  }

  @Test("may repeat a prompt with another negative prompt")
  func repeatedPrompt() throws {
    #expect(try [Prompt](text: "a\na\tb", path: "p").count == 2)
  }

  @Test("are read up to a limit of bytes")
  func limit() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/prompts.txt"
      let comment = "#" + String(repeating: "x", count: [Prompt].byteLimit - 2) + "\n"
      try write(comment, to: path)
      #expect(throws: PromptFileError.noPrompts(path: path)) { try [Prompt](path: path) }
      try FileManager.default.removeItem(atPath: path)
      try write(comment + "a", to: path)
      let error = #expect(throws: PromptFileError.self) { try [Prompt](path: path) }
      #expect(
        error?.description
          == "\(path): the prompt file has more than 16.8 MB; expected one prompt per line")
      // An endless one.
      #expect(throws: PromptFileError.tooLong(path: "/dev/zero", limit: [Prompt].byteLimit)) {
        try [Prompt](path: "/dev/zero")
      }
    }
  }

  /// A program may write to a pipe later, and in pieces.
  @Test("may be pipes")
  func pipes() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/pipe"
      #expect(mkfifo(path, 0o600) == 0)
      let writer = Process()
      writer.executableURL = URL(fileURLWithPath: "/bin/sh")
      writer.arguments = [
        "-c", "sleep 0.3; (printf 'a\\nb\\t'; sleep 0.3; printf 'c\\n') >\"$0\"", path,
      ]
      try writer.run()
      #expect(try [Prompt](path: path) == [Prompt("a"), Prompt("b", negativePrompt: "c")])
      writer.waitUntilExit()
    }
  }

  /// Nobody writes to the pipe.
  @Test("that are pipes do not block a cancelled task")
  func cancelledPipe() async throws {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("decant-test-\(UUID().uuidString)").path
    #expect(mkfifo(path, 0o600) == 0)
    defer { unlink(path) }
    let task = Task { try [Prompt](path: path) }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test("default to Decant's list")
  func defaults() throws {
    #expect(try [Prompt](path: nil).map(\.prompt) == CalibrationPrompts.all)
  }

  @Test("must exist and be UTF-8")
  func unreadable() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/prompts.txt"
      #expect(throws: FileError.self) { try [Prompt](path: path) }
      let file = try ReplacingFile(path: path, replacing: false)
      try file.write([0x61, 0xff, 0x0a])
      try file.commit()
      #expect(throws: PromptFileError.text(path: path, .notUTF8)) { try [Prompt](path: path) }
      #expect(
        PromptFileError.text(path: "p.txt", .notUTF8).description
          == "p.txt: the prompt file is not UTF-8")
    }
  }

  @Test("have a limit of combining marks in a row")
  func combiningMarks() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/prompts.txt"
      try write("a" + String(repeating: "\u{301}", count: 30) + "\n", to: path)
      #expect(try [Prompt](path: path).count == 1)
      try FileManager.default.removeItem(atPath: path)
      try write("a" + String(repeating: "\u{301}", count: 31) + "\n", to: path)
      let error = #expect(throws: PromptFileError.self) { try [Prompt](path: path) }
      #expect(
        error?.description
          == "\(path): the prompt file is a text with more than 30 combining marks in a row")
    }
  }
}

private func write(_ text: String, to path: String) throws {
  let file = try ReplacingFile(path: path, replacing: false)
  try file.write([UInt8](text.utf8))
  try file.commit()
}
