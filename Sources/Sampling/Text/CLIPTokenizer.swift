package import ModelSources
internal import Tensors

/// CLIP's tokenizer: text to the numbers that the text encoder reads.
///
/// Byte-level byte pairs, exactly as the `CLIPTokenizer` of transformers gives them for the same
/// files with `padding="max_length", truncation=True`, which is how diffusers' pipelines call it.
package struct CLIPTokenizer: Sendable {
  /// Numbers of one encoded text, the two special tokens and the padding counted; 77 for every
  /// published model.
  package let maximumLength: Int
  package let beginID: Int
  package let endID: Int
  package let paddingID: Int

  private let bytePairs: BytePairs
  private let addedTokens: AddedTokenMatcher

  /// - Parameters:
  ///   - source: a model with the files of its tokenizer.
  ///   - folder: where they lie: `tokenizer`, or `tokenizer_2` of the families that have two.
  package init(_ source: ModelSource, folder: String = ComponentName.tokenizer)
    throws(TokenizerError)
  {
    try self.init(files: source.files, folder: folder, location: source.location)
  }

  package init(
    files: [ModelSource.File], folder: String = ComponentName.tokenizer, location: String
  ) throws(TokenizerError) {
    let parts = try TokenizerFiles(files, folder: folder, location: location)
    bytePairs = try BytePairs(
      vocabulary: parts.vocabulary, merges: parts.merges, unknown: parts.unknown,
      path: parts.mergesPath)
    addedTokens = AddedTokenMatcher(parts.addedTokens)
    beginID = Int(parts.begin)
    endID = Int(parts.end)
    paddingID = Int(parts.padding)
    maximumLength = parts.maximumLength
  }

  /// The numbers of a text's own tokens: no beginning, no end, nothing cut off.
  package func tokens(_ text: String) -> [Int] { words(text).flatMap(\.tokens) }

  /// The text's words and added tokens, with the numbers of each.
  private func words(_ text: String) -> [(text: String, tokens: [Int])] {
    addedTokens.pieces(of: text).flatMap { piece -> [(text: String, tokens: [Int])] in
      switch piece {
      case .token(let number): [(addedTokens.content(of: number), [Int(number)])]
      case .text(let scalars):
        TextSplitting.words(scalars).map { word in
          (String(decoding: word, as: UTF8.self), bytePairs.encode(word).map { Int($0) })
        }
      }
    }
  }

  /// ``maximumLength`` numbers: the beginning, as many tokens as fit, the end, and padding.
  package func encode(_ text: String) -> [Int] {
    let kept = [beginID] + tokens(text).prefix(capacity) + [endID]
    return kept + [Int](repeating: paddingID, count: maximumLength - kept.count)
  }

  /// What ``encode(_:)`` leaves off a text.
  package struct Cut: Sendable, Equatable {
    package let tokens: Int
    /// Its words, in lower case and a space between two; the first may be read in part.
    package let text: String

    package init(tokens: Int, text: String) { (self.tokens, self.text) = (tokens, text) }
  }

  /// Tokens of a text that ``encode(_:)`` has place for.
  package var capacity: Int { maximumLength - 2 }

  /// What ``encode(_:)`` cuts off the text; `nil` where the whole text is read.
  package func cut(_ text: String) -> Cut? {
    var seen = 0
    var lost: [String] = []
    for (word, tokens) in words(text) {
      seen += tokens.count
      if seen > capacity { lost.append(word) }
    }
    return lost.isEmpty ? nil : Cut(tokens: seen - capacity, text: lost.joined(separator: " "))
  }
}
