import Support

/// A token of `added_tokens` that is matched in the text before it is split into words.
struct AddedToken: Sendable, Equatable {
  var content: String
  /// Whether it is matched in the normalized text, so ignoring case, or in the original text.
  var isNormalized = false
  /// Whether it matches only as a whole word.
  var isSingleWord = false

  init(_ content: String, isNormalized: Bool = false) {
    self.content = content
    self.isNormalized = isNormalized
  }

  /// Parses a token of a config: a string, or an object with `content`.
  ///
  /// `lstrip` and `rstrip` are ignored: they attach white space to the token, and white space never
  /// becomes a token.
  ///
  /// - Parameter isSpecial: whether an object without `special` is a special token. Special tokens
  ///   are not normalized by default.
  init?(_ json: JSONValue, isSpecial: Bool) {
    if let content = json.string {
      self.init(content)
      return
    }
    guard let object = json.object, let content = object["content"]?.string else { return nil }
    self.init(content)
    isNormalized = object["normalized"]?.bool ?? !(object["special"]?.bool ?? isSpecial)
    isSingleWord = object["single_word"]?.bool ?? false
  }
}

/// Finds added tokens in a text: the leftmost first, and of these the longest.
struct AddedTokenMatcher: Sendable {
  enum Piece: Equatable {
    case token(Int32)
    /// Normalized text between tokens.
    case text([Unicode.Scalar])
  }

  private struct Pattern {
    let scalars: [Unicode.Scalar]
    let id: Int32
    let isSingleWord: Bool
  }

  private let original: [Pattern]
  private let normalized: [Pattern]

  init(_ tokens: [(token: AddedToken, id: Int32)]) {
    func patterns(isNormalized: Bool) -> [Pattern] {
      tokens.filter { $0.token.isNormalized == isNormalized && !$0.token.content.isEmpty }
        .map { entry in
          Pattern(
            scalars: isNormalized
              ? TextSplitting.normalize(entry.token.content)
              : Array(entry.token.content.unicodeScalars),
            id: entry.id, isSingleWord: entry.token.isSingleWord)
        }.sorted { $0.scalars.count > $1.scalars.count }
    }
    original = patterns(isNormalized: false)
    normalized = patterns(isNormalized: true)
  }

  /// Splits a text at added tokens: first at those of the original text; the text between them is
  /// normalized and split at the others.
  func pieces(of text: String) -> [Piece] {
    Self.split(Array(text.unicodeScalars), at: original).flatMap { piece -> [Piece] in
      guard case .text(let scalars) = piece else { return [piece] }
      var string = String.UnicodeScalarView()
      string.append(contentsOf: scalars)
      return Self.split(TextSplitting.normalize(String(string)), at: normalized)
    }
  }

  /// The text of a token.
  func content(of id: Int32) -> String {
    var text = String.UnicodeScalarView()
    text.append(contentsOf: (original + normalized).first { $0.id == id }?.scalars ?? [])
    return String(text)
  }

  private static func split(_ text: [Unicode.Scalar], at patterns: [Pattern]) -> [Piece] {
    var pieces: [Piece] = []
    var start = 0
    var position = 0
    while position < text.count {
      guard let pattern = patterns.first(where: { text[position...].starts(with: $0.scalars) })
      else {
        position += 1
        continue
      }
      let end = position + pattern.scalars.count
      let isAlone =
        (position == 0 || !TextSplitting.isWordPart(text[position - 1]))
        && (end == text.count || !TextSplitting.isWordPart(text[end]))
      if isAlone || !pattern.isSingleWord {
        if start < position { pieces.append(.text(Array(text[start..<position]))) }
        pieces.append(.token(pattern.id))
        start = end
      }
      position = end
    }
    if start < text.count { pieces.append(.text(Array(text[start...]))) }
    return pieces
  }
}
