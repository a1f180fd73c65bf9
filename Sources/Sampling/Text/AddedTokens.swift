import Support

/// A token that is looked for in the text itself before it is split into words.
struct AddedToken: Sendable, Equatable {
  var content: String
  /// Whether it is looked for in the normalized text (so in any case of letters) or as it is typed.
  var isNormalized = false
  /// Whether it counts only where no part of a word is beside it.
  var isSingleWord = false

  init(_ content: String, isNormalized: Bool = false) {
    self.content = content
    self.isNormalized = isNormalized
  }

  /// A token as configs write it: a string, or an object with `content`.
  ///
  /// `lstrip` and `rstrip` are not kept: they take white space to the token, and white space never
  /// becomes a token of its own.
  ///
  /// - Parameter isSpecial: whether an object that does not say so is a special token; those are not
  ///   normalized unless they say so.
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

/// Finds added tokens in a text, leftmost and longest first.
struct AddedTokenMatcher: Sendable {
  enum Piece: Equatable {
    case token(Int32)
    /// Normalized text between tokens.
    case text([Unicode.Scalar])
  }

  private struct Pattern {
    let scalars: [Unicode.Scalar]
    let number: Int32
    let isSingleWord: Bool
  }

  private let typed: [Pattern]
  private let normalized: [Pattern]

  init(_ tokens: [(token: AddedToken, number: Int32)]) {
    func patterns(isNormalized: Bool) -> [Pattern] {
      tokens.filter { $0.token.isNormalized == isNormalized && !$0.token.content.isEmpty }
        .map { entry in
          Pattern(
            scalars: isNormalized
              ? TextSplitting.normalize(entry.token.content)
              : Array(entry.token.content.unicodeScalars),
            number: entry.number, isSingleWord: entry.token.isSingleWord)
        }.sorted { $0.scalars.count > $1.scalars.count }
    }
    typed = patterns(isNormalized: false)
    normalized = patterns(isNormalized: true)
  }

  /// Tokens as typed are cut out first; what is between them is normalized and searched again.
  func pieces(of text: String) -> [Piece] {
    Self.split(Array(text.unicodeScalars), at: typed).flatMap { piece -> [Piece] in
      guard case .text(let scalars) = piece else { return [piece] }
      var string = String.UnicodeScalarView()
      string.append(contentsOf: scalars)
      return Self.split(TextSplitting.normalize(String(string)), at: normalized)
    }
  }

  /// The token of that number as it is looked for.
  func content(of number: Int32) -> String {
    var text = String.UnicodeScalarView()
    text.append(contentsOf: (typed + normalized).first { $0.number == number }?.scalars ?? [])
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
        pieces.append(.token(pattern.number))
        start = end
      }
      position = end
    }
    if start < text.count { pieces.append(.text(Array(text[start...]))) }
    return pieces
  }
}
