import ModelSources
import Support

/// The contents of a tokenizer folder: `tokenizer.json`, or `vocab.json` and `merges.txt`, with the
/// config files.
///
/// Precedence follows transformers: `tokenizer.json` over `vocab.json`, and
/// `special_tokens_map.json` over `tokenizer_config.json` unless the latter has
/// `added_tokens_decoder`, as newer files do.
struct TokenizerFiles {
  private(set) var vocabulary: [String: Int32] = [:]
  private(set) var merges: [(String, String)] = []
  private(set) var mergesPath = ""
  private(set) var addedTokens: [(token: AddedToken, id: Int32)] = []
  private(set) var begin: Int32 = 0
  private(set) var end: Int32 = 0
  private(set) var unknown: Int32 = 0
  private(set) var padding: Int32 = 0
  private(set) var maximumLength = 77

  /// The most added tokens. Each is looked for at each place of a prompt.
  private static let addedTokenLimit = 10_000
  /// The most bytes of `merges.txt`. That of CLIP has 525 kB.
  private static let mergesLimit = 16 << 20

  private let files: [ModelSource.File]
  private let folder: String
  private let location: String

  init(
    _ files: [ModelSource.File], folder: String, location: String
  ) throws(TokenizerError) {
    self.files = files
    self.folder = folder
    self.location = location
    var listed = try readVocabulary()
    let config = try object("tokenizer_config.json") ?? JSONObject()
    var named = config
    // The file that has each member of `named`, where it is not tokenizer_config.json.
    var origins: [String: String] = [:]
    if let decoder = config["added_tokens_decoder"]?.object {
      listed = []
      for (key, json) in decoder.members {
        guard let id = Int32(key), id >= 0,
          let token = AddedToken(json, isSpecial: false)
        else {
          throw malformed(
            "tokenizer_config.json", "added_tokens_decoder's '\(shown(key))'", json.kind,
            "a token whose key is its ID")
        }
        listed.append((token, id))
      }
    } else {
      for (key, value) in try object("special_tokens_map.json")?.members ?? [] {
        named[key] = value
        origins[key] = "special_tokens_map.json"
      }
      for (content, json) in try object("added_tokens.json")?.members ?? [] {
        let id = try tokenID(json, of: content, in: "added_tokens.json")
        listed.append((AddedToken(content, isNormalized: true), id))
      }
    }
    try resolve(named, origins: origins, listed: listed)
    // transformers writes an astronomically large number for "unknown". CLIP text encoders have 77
    // positions.
    if let length = config["model_max_length"]?.integer, length < 1 << 20 {
      guard length >= 2 else {
        throw malformed(
          "tokenizer_config.json", "model_max_length", String(length), "2 or more")
      }
      maximumLength = length
    }
  }

  // MARK: - Special tokens

  /// Finds the IDs of the special tokens and the tokens to match in the text.
  ///
  /// - Parameters:
  ///   - named: the special tokens by their roles.
  ///   - origins: the files that name them, by role; tokenizer_config.json for other roles.
  private mutating func resolve(
    _ named: JSONObject, origins: [String: String], listed: [(token: AddedToken, id: Int32)]
  ) throws(TokenizerError) {
    func file(of role: String) -> String { origins[role] ?? "tokenizer_config.json" }
    // Of special tokens with the same content, the last one decides whether it is normalized.
    var known = listed
    let listedContents = Set(listed.map(\.token.content))
    func id(_ role: String, _ standard: String) throws(TokenizerError) -> Int32 {
      var token = AddedToken(standard)
      var place = folderPath
      if let json = named[role], !json.isNull {
        guard let read = AddedToken(json, isSpecial: true) else {
          throw malformed(
            file(of: role), role, json.kind, "a string or an object with 'content'")
        }
        token = read
        place = path(file(of: role))
      }
      if listedContents.contains(token.content),
        let entry = listed.last(where: { $0.token.content == token.content })
      {
        return vocabulary[token.content] ?? entry.id
      }
      guard let id = vocabulary[token.content] else {
        throw .specialTokenMissing(path: place, role: role, token: token.content)
      }
      known.removeAll { $0.token.content == token.content }
      known.append((token, id))
      return id
    }
    begin = try id("bos_token", CLIPVocabulary.begin)
    end = try id("eos_token", CLIPVocabulary.end)
    unknown = try id("unk_token", CLIPVocabulary.end)
    padding = try id("pad_token", CLIPVocabulary.end)
    var contents = Set(known.map(\.token.content))
    for key in ["additional_special_tokens", "extra_special_tokens"] {
      for json in named[key]?.array ?? [] {
        guard let token = AddedToken(json, isSpecial: true) else { continue }
        if !contents.insert(token.content).inserted { continue }
        guard let id = vocabulary[token.content] else {
          throw .specialTokenMissing(
            path: path(file(of: key)), role: key, token: token.content)
        }
        known.append((token, id))
      }
    }
    // The tokenizers library prefers a token's ID in the vocabulary to the ID it was added with.
    // They come from more than one file, so the folder is named.
    guard known.count <= Self.addedTokenLimit else {
      throw .malformed(
        path: folderPath, what: "the number of added tokens", found: "\(known.count)",
        expected: "at most \(Self.addedTokenLimit)")
    }
    addedTokens = known.map { ($0.token, vocabulary[$0.token.content] ?? $0.id) }
  }

  // MARK: - Vocabulary and merges

  /// Reads vocabulary and merges.
  ///
  /// - Returns: the added tokens of `tokenizer.json`.
  private mutating func readVocabulary() throws(TokenizerError) -> [(
    token: AddedToken, id: Int32
  )] {
    guard let whole = try object("tokenizer.json") else {
      guard let tokens = try object("vocab.json") else {
        throw .missing(location: location, file: "vocab.json")
      }
      try setVocabulary(tokens, from: "vocab.json")
      guard let bytes = file("merges.txt") else {
        throw .missing(location: location, file: "merges.txt")
      }
      try readMergeLines(bytes)
      return []
    }
    guard let model = whole["model"]?.object, let tokens = model["vocab"]?.object,
      let pairs = model["merges"]?.array
    else {
      throw malformed(
        "tokenizer.json", "'model'", whole["model"]?.kind ?? "missing",
        "an object with 'vocab' and 'merges'")
    }
    if let type = model["type"]?.string, type != "BPE" {
      throw malformed("tokenizer.json", "the type of 'model'", "'\(shown(type))'", "'BPE'")
    }
    if let suffix = model["end_of_word_suffix"]?.string, suffix != CLIPVocabulary.wordEnd {
      throw malformed("tokenizer.json", "end_of_word_suffix", "'\(shown(suffix))'", "'</w>'")
    }
    try setVocabulary(tokens, from: "tokenizer.json")
    mergesPath = path("tokenizer.json")
    for (index, json) in pairs.enumerated() {
      // Older files have a string with a space, newer ones an array of two strings.
      let parts =
        json.string?.split(separator: " ", omittingEmptySubsequences: false).map { String($0) }
        ?? json.array?.compactMap(\.string) ?? []
      guard parts.count == 2 else {
        throw malformed("tokenizer.json", "merge \(index + 1)", shown(json.text()), "two tokens")
      }
      merges.append((parts[0], parts[1]))
    }
    var listed: [(AddedToken, Int32)] = []
    for json in whole["added_tokens"]?.array ?? [] {
      guard let token = AddedToken(json, isSpecial: false), let id = json.object?["id"] else {
        throw malformed(
          "tokenizer.json", "an added token", shown(json.text()),
          "an object with 'content' and 'id'")
      }
      listed.append((token, try tokenID(id, of: token.content, in: "tokenizer.json")))
    }
    return listed
  }

  private mutating func setVocabulary(
    _ tokens: JSONObject, from name: String
  ) throws(TokenizerError) {
    var owners: [Int32: String] = [:]
    owners.reserveCapacity(tokens.count)
    vocabulary.reserveCapacity(tokens.count)
    for (token, json) in tokens.members {
      let id = try tokenID(json, of: token, in: name)
      if let other = owners.updateValue(token, forKey: id) {
        throw .duplicateID(path: path(name), id: Int(id), tokens: [other, token])
      }
      vocabulary[token] = id
    }
  }

  private mutating func readMergeLines(_ bytes: ByteSlice) throws(TokenizerError) {
    mergesPath = path("merges.txt")
    guard bytes.count <= Self.mergesLimit else {
      throw malformed(
        "merges.txt", "the length", "\(bytes.count) bytes", "at most \(Self.mergesLimit) bytes")
    }
    let text: String
    do { text = try String(fileText: bytes.withoutByteOrderMark.array) } catch {
      throw malformed("merges.txt", "the text", "\(error)", "UTF-8")
    }
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
      .enumerated()
    {
      if line.isEmpty || (merges.isEmpty && line.hasPrefix("#version")) { continue }
      let parts = line.split(separator: " ")
      guard parts.count == 2 else {
        throw malformed("merges.txt", "line \(index + 1)", "'\(shown(String(line)))'", "two tokens")
      }
      merges.append((String(parts[0]), String(parts[1])))
    }
  }

  private func tokenID(
    _ json: JSONValue, of token: String, in name: String
  ) throws(TokenizerError) -> Int32 {
    guard let integer = json.integer, let id = Int32(exactly: integer), id >= 0 else {
      throw malformed(
        name, "the ID of token '\(shown(token))'", shown(json.text()), "0 or more")
    }
    return id
  }

  // MARK: - Files

  private var folderPath: String { "\(location)/\(folder)" }

  private func path(_ name: String) -> String { "\(folderPath)/\(name)" }

  private func file(_ name: String) -> ByteSlice? {
    files.first { $0.path == "\(folder)/\(name)" }?.bytes
  }

  private func object(_ name: String) throws(TokenizerError) -> JSONObject? {
    guard let bytes = file(name) else { return nil }
    let value: JSONValue
    do { value = try JSONValue(parsing: bytes.withoutByteOrderMark.bytes) } catch {
      throw .notJSON(path: path(name), error)
    }
    guard let object = value.object else {
      throw malformed(name, "the value", value.kind, "an object")
    }
    return object
  }

  private func malformed(
    _ name: String, _ what: String, _ found: String, _ expected: String
  ) -> TokenizerError {
    .malformed(path: path(name), what: what, found: found, expected: expected)
  }
}
