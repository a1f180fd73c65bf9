package import ModelSources
internal import Tensors

/// CLIP's byte-pair tokenizer: converts a text to the text encoder's `input_ids`.
///
/// Gives the same IDs as transformers' `CLIPTokenizer` with `padding="max_length",
/// truncation=True`, which is how diffusers' pipelines call it.
package struct CLIPTokenizer: Sendable {
  /// Length of an encoded text, including the two special tokens and padding; 77 for every
  /// published model.
  package let maximumLength: Int
  package let beginID: Int
  package let endID: Int
  package let paddingID: Int

  /// The largest of the IDs of the special tokens, which are the last ones of CLIP's vocabulary.
  package var largestSpecialID: Int { max(beginID, endID, paddingID) }

  private let bytePairs: BytePairs
  private let addedTokens: AddedTokenMatcher

  /// - Parameters:
  ///   - source: a model with its tokenizer's files.
  ///   - folder: the files' folder: `tokenizer` or `tokenizer_2`.
  package init(_ source: ModelSource, folder: String = ComponentName.tokenizer)
    throws(TokenizerError)
  {
    try self.init(files: source.files, folder: folder, location: source.location)
  }

  package init(
    files: [ModelSource.File], folder: String = ComponentName.tokenizer, location: String
  ) throws(TokenizerError) {
    let contents = try TokenizerFiles(files, folder: folder, location: location)
    bytePairs = try BytePairs(
      vocabulary: contents.vocabulary, merges: contents.merges, unknown: contents.unknown,
      path: contents.mergesPath)
    addedTokens = AddedTokenMatcher(contents.addedTokens)
    beginID = Int(contents.begin)
    endID = Int(contents.end)
    paddingID = Int(contents.padding)
    maximumLength = contents.maximumLength
  }

  /// Token IDs of a text, without special tokens, padding and truncation.
  package func tokens(_ text: String) -> [Int] { words(text).flatMap(\.tokens) }

  /// The words and added tokens of a text, with their token IDs.
  private func words(_ text: String) -> [(text: String, tokens: [Int])] {
    addedTokens.pieces(of: text).flatMap { piece -> [(text: String, tokens: [Int])] in
      switch piece {
      case .token(let id): [(addedTokens.content(of: id), [Int(id)])]
      case .text(let scalars):
        TextSplitting.words(scalars).map { word in
          (String(decoding: word, as: UTF8.self), bytePairs.encode(word).map { Int($0) })
        }
      }
    }
  }

  /// ``maximumLength`` token IDs: the start token, as many tokens as fit, the end token, padding.
  package func encode(_ text: String) -> [Int] {
    let kept = [beginID] + tokens(text).prefix(capacity) + [endID]
    return kept + [Int](repeating: paddingID, count: maximumLength - kept.count)
  }

  /// The end of a text that ``encode(_:)`` leaves out.
  package struct Truncation: Sendable, Equatable {
    package let tokens: Int
    /// The words in lower case, joined by spaces. Some tokens of the first word may be encoded.
    package let text: String

    package init(tokens: Int, text: String) { (self.tokens, self.text) = (tokens, text) }
  }

  /// The most tokens that ``encode(_:)`` takes, without the special tokens.
  package var capacity: Int { maximumLength - 2 }

  /// What ``encode(_:)`` leaves out of a text; `nil` if the whole text fits.
  package func truncation(of text: String) -> Truncation? {
    var seen = 0
    var omitted: [String] = []
    for (word, tokens) in words(text) {
      seen += tokens.count
      if seen > capacity { omitted.append(word) }
    }
    return omitted.isEmpty
      ? nil : Truncation(tokens: seen - capacity, text: omitted.joined(separator: " "))
  }
}
