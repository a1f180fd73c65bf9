/// Byte-pair encoding of one word: starts from one token per byte, the last one marked as the end
/// of the word, and merges pairs in the order in which they were learned.
struct BytePairs: Sendable {
  /// Token ID of each byte inside a word; `nil` if the vocabulary has none.
  private let inner: [Int32?]
  /// Token ID of each byte at the end of a word.
  private let final: [Int32?]
  private let merges: [Pair: Merge]
  /// Token ID of a byte that is not in the vocabulary.
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
  ///   - merges: pairs of tokens by rank.
  ///   - path: file of the merges, for messages.
  init(
    vocabulary: [String: Int32], merges: [(String, String)], unknown: Int32, path: String
  ) throws(TokenizerError) {
    inner = ByteSymbols.all.map { vocabulary[String($0)] }
    final = ByteSymbols.all.map { vocabulary[String($0) + CLIPVocabulary.wordEnd] }
    self.unknown = unknown
    var table = [Pair: Merge](minimumCapacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      func id(_ token: String) throws(TokenizerError) -> Int32 {
        if let id = vocabulary[token] { return id }
        throw .mergeOutsideVocabulary(path: path, merge: rank + 1, token: token)
      }
      let pair = Pair(left: try id(merge.0), right: try id(merge.1))
      // As in the tokenizers library, a repeated pair takes its last rank.
      table[pair] = Merge(rank: rank, result: try id(merge.0 + merge.1))
    }
    self.merges = table
  }

  /// The token IDs of a word.
  ///
  /// - Precondition: the word is not empty.
  func encode(_ word: [UInt8]) -> [Int32] {
    var tokens = word.indices.map { index in
      (index == word.count - 1 ? final : inner)[Int(word[index])] ?? unknown
    }
    while tokens.count > 1 {
      // Merge one pair at a time, the leftmost of the lowest rank: the result may form a pair of
      // lower rank, which comes before other occurrences of this pair.
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
