private import Formats
internal import Support
internal import Tensors

/// Why a prompt file cannot be read.
package enum PromptFileError: Error, Equatable, CustomStringConvertible {
  case notUTF8(path: String)
  case noPrompts(path: String)
  case promptMissing(path: String, line: Int)
  case tabs(path: String, line: Int)
  case repeated(path: String, line: Int, first: Int)

  package var description: String {
    switch self {
    case .notUTF8(let path):
      "\(path): the prompt file is not UTF-8 text"
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
    }
  }
}

extension [Prompt] {
  /// Reads a prompt file, or takes Decant's default prompts.
  ///
  /// - Parameters:
  ///   - path: a text file in UTF-8 with one prompt per line; `nil` takes `CalibrationPrompts`.
  ///   - limit: the number of prompts to keep from the start; `nil` keeps all.
  /// - Throws: ``PromptFileError``, or `FileError` when the file cannot be read.
  package init(path: String?, limit: Int? = nil) throws {
    let prompts: [Prompt]
    if let path {
      var bytes = try ByteSlice.mapping(path).array
      if bytes.starts(with: Self.byteOrderMark) { bytes.removeFirst(Self.byteOrderMark.count) }
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw PromptFileError.notUTF8(path: path)
      }
      prompts = try [Prompt](text: text, path: path)
    } else {
      prompts = CalibrationPrompts.all.map { Prompt($0) }
    }
    self = Array(prompts.prefix(limit ?? prompts.count))
  }

  /// The mark with which some editors begin a file in UTF-8.
  private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

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
