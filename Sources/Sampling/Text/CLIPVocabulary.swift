private import CVocabulary
package import ModelSources
internal import Support
internal import Tensors

/// The byte-pair vocabulary of OpenAI's CLIP, which every Stable Diffusion model up to SDXL uses:
/// 49,408 tokens, built into the program for models whose files hold none.
package enum CLIPVocabulary {
  /// `merges.txt` as it lies in tokenizer folders.
  package static func merges() -> [UInt8] {
    (0..<decant_clip_merges_count()).map { decant_clip_merges_byte($0) }
  }

  /// The files of a tokenizer folder as Stable Diffusion 1.x has them: `vocab.json`, `merges.txt`,
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

  /// All tokens in the order of their numbers: the 256 byte symbols, the same at the end of a word,
  /// what each merge makes, and the two special ones.
  static func tokens(mergeLines: some Sequence<Substring>) -> [String] {
    // Not by value but printable bytes first: the order in which CLIP's own code lists them.
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

/// The characters that stand for bytes, so that byte pairs can be written as text: a byte that
/// prints stands for itself, the others for U+0100 and on. GPT-2's `bytes_to_unicode`.
enum ByteSymbols {
  static let printable: [UInt8] = Array(33...126) + Array(161...172) + Array(174...255)

  /// By byte.
  static let all: [Unicode.Scalar] = {
    var next: UInt8 = 0
    return (0...255).map { (byte: UInt8) in
      if printable.contains(byte) { return Unicode.Scalar(byte) }
      defer { next += 1 }
      return Unicode.Scalar(0x100 + UInt32(next)) ?? Unicode.Scalar(byte)
    }
  }()
}
