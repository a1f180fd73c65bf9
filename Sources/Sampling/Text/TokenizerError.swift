package import Support
internal import Tensors

/// Why a model's tokenizer files cannot be used.
package enum TokenizerError: Error, Equatable, CustomStringConvertible {
  /// `tokenizer.json` and one of `vocab.json` and `merges.txt` are missing.
  case missing(location: String, file: String)
  case notJSON(path: String, JSONError)
  /// A value in a file has the wrong type or range.
  case malformed(path: String, what: String, found: String, expected: String)
  /// Two tokens have the same ID.
  case duplicateID(path: String, id: Int, tokens: [String])
  /// A token of a merge, or its result, is not in the vocabulary.
  case mergeOutsideVocabulary(path: String, merge: Int, token: String)
  /// A special token that the config names is not in the vocabulary.
  case specialTokenMissing(path: String, role: String, token: String)

  package var description: String {
    switch self {
    case .missing(let location, let file):
      "\(location): the tokenizer's \(file) is missing; expected vocab.json and merges.txt, or "
        + "tokenizer.json"
    case .notJSON(let path, let error): "\(path) is not JSON: \(error)"
    case .malformed(let path, let what, let found, let expected):
      "\(path): \(what) is \(found), expected \(expected)"
    case .duplicateID(let path, let id, let tokens):
      "\(path): two tokens have ID \(id): "
        + tokens.map { "'\(shown($0))'" }.joined(separator: " and ")
    case .mergeOutsideVocabulary(let path, let merge, let token):
      "\(path): merge \(merge) has token '\(shown(token))', which is not in the vocabulary"
    case .specialTokenMissing(let path, let role, let token):
      "\(path): the \(role) '\(shown(token))' is not in the vocabulary"
    }
  }
}
