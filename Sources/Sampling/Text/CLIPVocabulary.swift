private import CVocabulary
package import ModelSources
internal import Support
internal import Tensors

/// The vocabulary of OpenAI's CLIP, which Stable Diffusion models up to SDXL use: 49,408 tokens,
/// built in for checkpoints without tokenizer files.
package enum CLIPVocabulary {
  /// The number of tokens.
  package static let count = 49_408

  /// The contents of `merges.txt`.
  package static func merges() -> [UInt8] {
    (0..<decant_clip_merges_count()).map { decant_clip_merges_byte($0) }
  }

  /// The tokenizer files of Stable Diffusion 1.x: `vocab.json`, `merges.txt`,
  /// `tokenizer_config.json` and `special_tokens_map.json`.
  package static func files(folder: String = ComponentName.tokenizer) -> [ModelSource.File] {
    let merges = merges()
    let text = String(decoding: merges, as: UTF8.self)
    let tokens = tokens(mergeLines: text.split(separator: "\n").dropFirst())
    let vocabulary = JSONObject(tokens.enumerated().map { ($1, .integer($0)) })
    let named: JSONObject = [
      "bos_token": .object(special(begin)), "eos_token": .object(special(end)),
      "pad_token": .string(end), "unk_token": .object(special(end)),
    ]
    var config: JSONObject = [
      "add_prefix_space": false, "do_lower_case": true, "errors": "replace",
      "model_max_length": 77, "tokenizer_class": "CLIPTokenizer",
    ]
    for (key, value) in named.members { config[key] = value }
    func json(_ name: String, _ object: JSONObject, indent: Int? = 2) -> ModelSource.File {
      ModelSource.File(
        path: "\(folder)/\(name)",
        bytes: ByteSlice([UInt8]((JSONValue.object(object).text(indent: indent)).utf8)))
    }
    return [
      ModelSource.File(path: "\(folder)/merges.txt", bytes: ByteSlice(merges)),
      json("special_tokens_map.json", named), json("tokenizer_config.json", config),
      json("vocab.json", vocabulary, indent: nil),
    ]
  }

  /// All tokens by ID: the 256 byte symbols, the same with the end-of-word suffix, the result of
  /// each merge, and the two special tokens.
  static func tokens(mergeLines: some Sequence<Substring>) -> [String] {
    // CLIP's code lists printable bytes first.
    let bytes = ByteSymbols.printable + (0...255).filter { !ByteSymbols.printable.contains($0) }
    let symbols = bytes.map { String(ByteSymbols.all[Int($0)]) }
    let merged = mergeLines.map { line in line.split(separator: " ").joined() }
    return symbols + symbols.map { $0 + wordEnd } + merged + [begin, end]
  }

  static let begin = "<|startoftext|>"
  static let end = "<|endoftext|>"
  static let wordEnd = "</w>"

  private static func special(_ content: String) -> JSONObject {
    [
      "content": .string(content), "lstrip": false, "normalized": true, "rstrip": false,
      "single_word": false,
    ]
  }
}

/// The printable character that represents each byte in vocabulary files: a printable byte is
/// itself, the others are U+0100 and up. GPT-2's `bytes_to_unicode`.
enum ByteSymbols {
  static let printable: [UInt8] = Array(33...126) + Array(161...172) + Array(174...255)

  /// Indexed by byte.
  static let all: [Unicode.Scalar] = {
    var next: UInt8 = 0
    return (0...255).map { (byte: UInt8) in
      if printable.contains(byte) { return Unicode.Scalar(byte) }
      defer { next += 1 }
      return Unicode.Scalar(0x100 + UInt32(next)) ?? Unicode.Scalar(byte)
    }
  }()
}
