import ModelSources
import Sampling
import Support
import Tensors
import Testing

@Suite("CLIP tokenizer")
struct TokenizerTests {
  static func file(_ name: String, _ text: String) -> ModelSource.File {
    ModelSource.File(path: "tokenizer/" + name, bytes: ByteSlice([UInt8](text.utf8)))
  }

  @Test("gives the IDs of transformers' tokenizer, for every kind of tokenizer folder")
  func tokenIDs() throws {
    let values = try golden("tokenizer.json")
    let texts = try values.array("texts").map { try #require($0.string) }
    let builtIn = CLIPVocabulary.files().filter {
      $0.path == "tokenizer/vocab.json" || $0.path == "tokenizer/merges.txt"
    }
    for case .object(let entry) in try values.array("tokenizers") {
      var files = try entry.object("files").members.map {
        Self.file($0.key, try #require($0.value.string))
      }
      let isWhole = files.contains {
        $0.path.hasSuffix("vocab.json") || $0.path.hasSuffix("tokenizer.json")
      }
      if !isWhole { files += builtIn }
      let tokenizer = try CLIPTokenizer(files: files, location: "golden")
      let name = try entry.string("name")
      #expect(try tokenizer.maximumLength == entry.integer("length"), "\(name)")
      #expect(try tokenizer.paddingID == entry.integer("padding"), "\(name)")
      for (text, ids) in zip(texts, try entry.array("ids")) {
        let kept = try #require(ids.array).compactMap(\.integer)
        let padding = [Int](
          repeating: tokenizer.paddingID, count: tokenizer.maximumLength - kept.count)
        #expect(tokenizer.encode(text) == kept + padding, "\(name): \(text.debugDescription)")
      }
    }
  }

  @Test("has CLIP's vocabulary built in")
  func vocabulary() throws {
    let files = CLIPVocabulary.files(folder: "tokenizer_2")
    #expect(files.map(\.path).allSatisfy { $0.hasPrefix("tokenizer_2/") })
    #expect(CLIPVocabulary.merges().count == 524_619)
    let last = try #require(files.last)
    let vocabulary = try #require(try JSONValue(parsing: last.bytes.bytes).object)
    #expect(vocabulary.keys.count == 49_408)
    #expect(vocabulary["<|endoftext|>"] == 49_407)
    let tokenizer = try CLIPTokenizer(files: files, folder: "tokenizer_2", location: "built in")
    #expect(
      tokenizer.tokens("a photo of an astronaut riding a horse on mars")
        == [320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496])
    #expect(tokenizer.beginID == 49_406 && tokenizer.endID == 49_407)
  }

  @Test("reports what it truncates")
  func truncation() throws {
    let tokenizer = try CLIPTokenizer(files: CLIPVocabulary.files(), location: "built in")
    #expect(tokenizer.truncation(of: "a cat") == nil)
    let full = [String](repeating: "cat", count: 75).joined(separator: " ")
    #expect(tokenizer.truncation(of: full) == nil)
    let long = full + " Sat  on, a <|endoftext|> mat"
    #expect(
      tokenizer.truncation(of: long)
        == CLIPTokenizer.Truncation(tokens: 6, text: "sat on , a <|endoftext|> mat"))
    #expect(tokenizer.encode(long).count == 77 && tokenizer.encode(long).last == 49_407)
  }

  // MARK: - Refusals

  static let smallVocabulary =
    #"{"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, "<|startoftext|>": 5, "<|endoftext|>": 6}"#
  static let smallMerges = "#version: 0.2\na b</w>\n"

  @Test("gives bytes outside the vocabulary the unknown token")
  func unknown() throws {
    let tokenizer = try CLIPTokenizer(
      files: [
        Self.file("vocab.json", Self.smallVocabulary), Self.file("merges.txt", Self.smallMerges),
      ],
      location: "small")
    #expect(tokenizer.tokens("ab b ac") == [4, 3, 0, 6])
  }

  @Test("reads files that begin with a byte order mark")
  func byteOrderMarks() throws {
    let tokenizer = try CLIPTokenizer(
      files: [
        Self.file("vocab.json", "\u{feff}" + Self.smallVocabulary),
        Self.file("merges.txt", "\u{feff}" + Self.smallMerges),
      ], location: "small")
    #expect(tokenizer.tokens("ab b") == [4, 3])
  }

  @Test(
    "refuses missing and inconsistent files",
    arguments: [
      (
        [:],
        "model: the tokenizer's vocab.json is missing; expected vocab.json and merges.txt, or "
          + "tokenizer.json"
      ),
      (
        ["vocab.json": smallVocabulary],
        "model: the tokenizer's merges.txt is missing; expected vocab.json and merges.txt, or "
          + "tokenizer.json"
      ),
      (
        ["vocab.json": "{", "merges.txt": smallMerges],
        "model/tokenizer/vocab.json is not JSON: the text ends too early (at byte 1)"
      ),
      (
        ["vocab.json": "[]", "merges.txt": smallMerges],
        "model/tokenizer/vocab.json: the value is an array, expected an object"
      ),
      (
        ["vocab.json": #"{"a": -1}"#, "merges.txt": smallMerges],
        "model/tokenizer/vocab.json: the ID of token 'a' is -1, expected 0 or more"
      ),
      (
        ["vocab.json": #"{"a": 1, "b": 1}"#, "merges.txt": smallMerges],
        "model/tokenizer/vocab.json: two tokens have ID 1: 'a' and 'b'"
      ),
      (
        ["vocab.json": smallVocabulary, "merges.txt": "a b</w>\nab c</w>\n"],
        "model/tokenizer/merges.txt: merge 2 has token 'ab', which is not in the vocabulary"
      ),
      (
        ["vocab.json": smallVocabulary, "merges.txt": "#version: 0.2\na b c\n"],
        "model/tokenizer/merges.txt: line 2 is 'a b c', expected two tokens"
      ),
      (
        ["vocab.json": #"{"a": 1}"#, "merges.txt": ""],
        "model/tokenizer: the bos_token '<|startoftext|>' is not in the vocabulary"
      ),
      (
        [
          "vocab.json": smallVocabulary, "merges.txt": smallMerges,
          "special_tokens_map.json": #"{"pad_token": "!"}"#,
        ],
        "model/tokenizer/special_tokens_map.json: the pad_token '!' is not in the vocabulary"
      ),
      (
        [
          "vocab.json": smallVocabulary, "merges.txt": smallMerges,
          "tokenizer_config.json": #"{"pad_token": "!"}"#,
        ],
        "model/tokenizer/tokenizer_config.json: the pad_token '!' is not in the vocabulary"
      ),
      // The map replaces what the config says.
      (
        [
          "vocab.json": smallVocabulary, "merges.txt": smallMerges,
          "tokenizer_config.json": #"{"pad_token": "a"}"#,
          "special_tokens_map.json": #"{"pad_token": [3]}"#,
        ],
        "model/tokenizer/special_tokens_map.json: pad_token is an array, expected a string or an "
          + "object with 'content'"
      ),
      (
        [
          "vocab.json": smallVocabulary, "merges.txt": smallMerges,
          "special_tokens_map.json": #"{"additional_special_tokens": ["<x>"]}"#,
        ],
        "model/tokenizer/special_tokens_map.json: the additional_special_tokens '<x>' is not in the "
          + "vocabulary"
      ),
      // Empty lines count.
      (
        ["vocab.json": smallVocabulary, "merges.txt": "#version: 0.2\n\r\n\na b c\n"],
        "model/tokenizer/merges.txt: line 4 is 'a b c', expected two tokens"
      ),
      (
        [
          "vocab.json": smallVocabulary, "merges.txt": smallMerges,
          "tokenizer_config.json": #"{"pad_token": 3}"#,
        ],
        "model/tokenizer/tokenizer_config.json: pad_token is a number, expected a string or an object "
          + "with 'content'"
      ),
      (
        [
          "vocab.json": smallVocabulary, "merges.txt": smallMerges,
          "tokenizer_config.json": #"{"model_max_length": 1}"#,
        ],
        "model/tokenizer/tokenizer_config.json: model_max_length is 1, expected 2 or more"
      ),
      (
        ["tokenizer.json": #"{"model": {"type": "WordPiece", "vocab": {}, "merges": []}}"#],
        "model/tokenizer/tokenizer.json: the type of 'model' is 'WordPiece', expected 'BPE'"
      ),
      (
        ["tokenizer.json": #"{"model": {"vocab": {"a": 0}, "merges": [["a"]]}}"#],
        #"model/tokenizer/tokenizer.json: merge 1 is ["a"], expected two tokens"#
      ),
      (
        ["tokenizer.json": #"{"version": "1.0"}"#],
        "model/tokenizer/tokenizer.json: 'model' is missing, expected an object with 'vocab' and "
          + "'merges'"
      ),
      (
        ["vocab.json": #"{"a\u001b\n": -1}"#, "merges.txt": smallMerges],
        #"model/tokenizer/vocab.json: the ID of token 'a\u{1b}\u{a}' is -1, expected 0 or more"#
      ),
      (
        ["vocab.json": smallVocabulary, "merges.txt": "#version: 0.2\n\u{1b}[2J\n"],
        #"model/tokenizer/merges.txt: line 2 is '\u{1b}[2J', expected two tokens"#
      ),
      (
        [
          "vocab.json": smallVocabulary,
          "merges.txt": "a" + String(repeating: "\u{300}", count: 31) + " b\n",
        ],
        "model/tokenizer/merges.txt: the text is a text with more than 30 combining marks in a row, "
          + "expected UTF-8"
      ),
    ] as [([String: String], String)])
  func refusals(files: [String: String], sentence: String) {
    do throws(TokenizerError) {
      _ = try CLIPTokenizer(files: files.map { Self.file($0, $1) }, location: "model")
      Issue.record("not refused")
    } catch {
      #expect(error.description == sentence)
    }
  }

  /// Each added token is looked for at each place of a prompt.
  @Test("limits the added tokens and the merges", .timeLimit(.minutes(5)))
  func limits() {
    func message(_ files: [String: String]) -> String {
      do throws(TokenizerError) {
        _ = try CLIPTokenizer(files: files.map { Self.file($0, $1) }, location: "model")
        return "no error"
      } catch { return error.description }
    }
    func added(_ count: Int) -> String {
      "{" + (0..<count).map { "\"t\($0)\": \($0 + 10)" }.joined(separator: ", ") + "}"
    }
    var files = ["vocab.json": Self.smallVocabulary, "merges.txt": Self.smallMerges]
    // With the start and the end token.
    files["added_tokens.json"] = added(9998)
    #expect(message(files) == "no error")
    files["added_tokens.json"] = added(9999)
    #expect(
      message(files)
        == "model/tokenizer: the number of added tokens is 10001, expected at most 10000")
    files["added_tokens.json"] = nil
    files["special_tokens_map.json"] =
      #"{"extra_special_tokens": ["#
      + [String](repeating: "\"a\"", count: 200_000)
      .joined(separator: ",") + "]}"
    #expect(message(files) == "no error")
    files["merges.txt"] = String(repeating: "a b</w>\n", count: (16 << 20) / 8 + 1)
    #expect(
      message(files)
        == "model/tokenizer/merges.txt: the length is 16777224 bytes, expected at most 16777216 bytes"
    )
  }
}
