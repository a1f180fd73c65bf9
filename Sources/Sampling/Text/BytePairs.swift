/// Byte pair encoding of one word: its bytes' symbols, the last one marked as the end of the word,
/// joined pair by pair in the order in which the pairs were learned.
struct BytePairs: Sendable {
  /// Numbers of the symbols of bytes inside a word, by byte; `nil` when the vocabulary lacks one.
  private let inner: [Int32?]
  /// The same at the end of a word.
  private let final: [Int32?]
  private let merges: [Pair: Merge]
  /// What a byte without a symbol becomes.
  private let unknown: Int32

  private struct Pair: Hashable {
    let left: Int32
    let right: Int32
  }

  private struct Merge {
    let rank: Int
    let result: Int32
  }

  /// - Parameters:
  ///   - merges: pairs of tokens in the order of their ranks.
  ///   - path: the file that they come from, for messages.
  init(
    vocabulary: [String: Int32], merges: [(String, String)], unknown: Int32, path: String
  ) throws(TokenizerError) {
    inner = ByteSymbols.all.map { vocabulary[String($0)] }
    final = ByteSymbols.all.map { vocabulary[String($0) + CLIPVocabulary.wordEnd] }
    self.unknown = unknown
    var table = [Pair: Merge](minimumCapacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      func number(_ token: String) throws(TokenizerError) -> Int32 {
        if let number = vocabulary[token] { return number }
        throw .mergeOutsideVocabulary(path: path, merge: rank + 1, token: token)
      }
      let pair = Pair(left: try number(merge.0), right: try number(merge.1))
      // As in the tokenizers library, a pair that is listed again takes the later rank.
      table[pair] = Merge(rank: rank, result: try number(merge.0 + merge.1))
    }
    self.merges = table
  }

  /// The numbers of the tokens of a word that is not empty.
  func encode(_ word: [UInt8]) -> [Int32] {
    var tokens = word.indices.map { index in
      (index == word.count - 1 ? final : inner)[Int(word[index])] ?? unknown
    }
    while tokens.count > 1 {
      // One pair at a time, the leftmost of the lowest rank: a result may form a pair of lower rank
      // still, which then comes before the other places of this pair.
      var best: (index: Int, merge: Merge)?
      for index in 0..<tokens.count - 1 {
        if let merge = merges[Pair(left: tokens[index], right: tokens[index + 1])],
          merge.rank < best?.merge.rank ?? .max
        {
          best = (index, merge)
        }
      }
      guard let best else { break }
      tokens[best.index] = best.merge.result
      tokens.remove(at: best.index + 1)
    }
    return tokens
  }
}
