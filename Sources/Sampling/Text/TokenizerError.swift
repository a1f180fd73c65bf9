package import Support
internal import Tensors

/// Why a tokenizer cannot be made of a model's files.
package enum TokenizerError: Error, Equatable, CustomStringConvertible {
  /// There is neither `tokenizer.json` nor this one of `vocab.json` and `merges.txt`.
  case missing(location: String, file: String)
  case notJSON(path: String, JSONError)
  /// Something in a file has the wrong kind or value.
  case malformed(path: String, what: String, found: String, expected: String)
  /// Two tokens have one number.
  case duplicateNumber(path: String, number: Int, tokens: [String])
  /// A merge's part or result is not in the vocabulary.
  case mergeOutsideVocabulary(path: String, merge: Int, token: String)
  /// A special token that the config names is not in the vocabulary.
  case specialTokenMissing(path: String, role: String, token: String)

  package var description: String {
    switch self {
    case .missing(let location, let file):
      "\(location): the tokenizer's \(file) is missing; a tokenizer is vocab.json and merges.txt, "
        + "or tokenizer.json"
    case .notJSON(let path, let error): "\(path) is not JSON: \(error)"
    case .malformed(let path, let what, let found, let expected):
      "\(path): \(what) is \(found), expected \(expected)"
    case .duplicateNumber(let path, let number, let tokens):
      "\(path): the number \(number) belongs to two tokens, "
        + tokens.map { "'\($0)'" }.joined(separator: " and ")
    case .mergeOutsideVocabulary(let path, let merge, let token):
      "\(path): merge \(merge) needs the token '\(token)', which the vocabulary does not hold"
    case .specialTokenMissing(let path, let role, let token):
      "\(path): the \(role) '\(token)' is not in the vocabulary"
    }
  }
}
