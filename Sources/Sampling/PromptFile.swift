private import Formats
package import Support
internal import Tensors

/// Why a prompt file cannot be read.
package enum PromptFileError: Error, Equatable, CustomStringConvertible {
  /// The bytes are no text that can be used.
  case text(path: String, TextFault)
  /// More bytes than the limit.
  case tooLong(path: String, limit: Int)
  case noPrompts(path: String)
  case promptMissing(path: String, line: Int)
  case tabs(path: String, line: Int)
  case repeated(path: String, line: Int, first: Int)
  /// JSON of another kind than a list of prompts.
  case json(path: String, found: String)
  /// An entry of a JSON list is empty. Entries count from 1.
  case emptyEntry(path: String, entry: Int)
  case repeatedEntry(path: String, entry: Int, first: Int)

  package var description: String {
    switch self {
    case .text(let path, let fault):
      "\(path): the prompt file is \(fault)"
    case .tooLong(let path, let limit):
      "\(path): the prompt file has more than \(formatted(bytes: limit)); expected one prompt per line"
    case .noPrompts(let path):
      "\(path): the file has no prompts; expected one prompt per line"
    case .promptMissing(let path, let line):
      "\(path), line \(line): a tab comes before the prompt; expected a prompt, optionally followed "
        + "by a tab and a negative prompt"
    case .tabs(let path, let line):
      "\(path), line \(line): more than one tab; expected a prompt, optionally followed by a tab and "
        + "a negative prompt"
    case .repeated(let path, let line, let first):
      "\(path), line \(line): the prompt repeats line \(first)"
    case .json(let path, let found):
      "\(path): the file is JSON with \(found); expected an array of strings, or a text file with one "
        + "prompt per line"
    case .emptyEntry(let path, let entry):
      "\(path): prompt \(entry) of the JSON array is empty"
    case .repeatedEntry(let path, let entry, let first):
      "\(path): prompt \(entry) of the JSON array repeats prompt \(first)"
    }
  }
}

extension [Prompt] {
  /// Reads a prompt file, or takes Decant's default prompts.
  ///
  /// - Parameter path: a text file in UTF-8 with one prompt per line, or a JSON array of strings, of
  ///   at most ``byteLimit``; a pipe is read to its end. `nil` takes `CalibrationPrompts`.
  /// - Throws: ``PromptFileError``, `FileError` when the file cannot be read, or `CancellationError`.
  package init(path: String?) throws {
    let prompts: [Prompt]
    if let path {
      guard let bytes = try bytesToEnd(ofFileOrPipe: path, limit: Self.byteLimit) else {
        throw PromptFileError.tooLong(path: path, limit: Self.byteLimit)
      }
      let text: String
      do { text = try String(fileText: ByteSlice(bytes).withoutByteOrderMark.array) } catch {
        throw PromptFileError.text(path: path, error)
      }
      prompts = try Self.prompts(json: text, path: path) ?? [Prompt](text: text, path: path)
    } else {
      prompts = CalibrationPrompts.all.map { Prompt($0) }
    }
    self = prompts
  }

  /// The most bytes of a prompt file: hundreds of thousands of prompts.
  package static let byteLimit = 16 << 20

  /// The prompts of a JSON array of strings; `nil` for text that is not JSON. A line of text may
  /// begin with a bracket too.
  private static func prompts(
    json text: String, path: String
  ) throws(PromptFileError) -> [Prompt]? {
    guard let first = text.first(where: { !$0.isWhitespace }), "[{".contains(first) else {
      return nil
    }
    let value: JSONValue
    do { value = try JSONValue(parsing: text) } catch {
      if PathParts(path).stemAndExtension.extension.lowercased() == "json" {
        throw .json(path: path, found: "an error: \(error)")
      }
      return nil
    }
    guard let entries = value.array else { throw .json(path: path, found: "an object") }
    var prompts: [Prompt] = []
    var places: [String: Int] = [:]
    for (index, entry) in entries.enumerated() {
      guard let text = entry.string else {
        throw .json(path: path, found: "an array whose entry \(index + 1) is not a string")
      }
      if text.allSatisfy(\.isWhitespace) { throw .emptyEntry(path: path, entry: index + 1) }
      if let first = places.updateValue(index + 1, forKey: text) {
        throw .repeatedEntry(path: path, entry: index + 1, first: first)
      }
      prompts.append(Prompt(text))
    }
    if prompts.isEmpty { throw .noPrompts(path: path) }
    return prompts
  }

  /// Parses the text of a prompt file: one prompt per line, optionally followed by a tab and a
  /// negative prompt. Empty lines and lines that begin with `#` are skipped.
  ///
  /// - Parameter path: the file, for messages.
  package init(text: String, path: String) throws(PromptFileError) {
    self = []
    var lines: [String: Int] = [:]
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
      .enumerated()
    {
      let content = line.trimmed
      if content.isEmpty || content.first == "#" { continue }
      // A leading tab could be an indented prompt or a negative prompt without a prompt.
      if line.prefix(upTo: content.startIndex).contains("\t") {
        throw .promptMissing(path: path, line: index + 1)
      }
      let pieces = content.split(separator: "\t", omittingEmptySubsequences: false).map(\.trimmed)
      guard pieces.count <= 2 else { throw .tabs(path: path, line: index + 1) }
      let prompt = Prompt(
        String(pieces[0]), negativePrompt: pieces.count == 2 ? String(pieces[1]) : "")
      let key = prompt.prompt + "\t" + prompt.negativePrompt
      if let first = lines.updateValue(index + 1, forKey: key) {
        throw .repeated(path: path, line: index + 1, first: first)
      }
      append(prompt)
    }
    if isEmpty { throw .noPrompts(path: path) }
  }
}

extension Substring {
  /// Without spaces and tabs at both ends.
  fileprivate var trimmed: Substring {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    var rest = drop(while: isSpace)
    while let last = rest.last, isSpace(last) { rest.removeLast() }
    return rest
  }
}
