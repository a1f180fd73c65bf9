private import Foundation

/// Normalization and splitting of a text into words, before byte-pair encoding.
///
/// Follows transformers' fast tokenizer, which does not unescape HTML or repair text as OpenAI's
/// tokenizer does.
enum TextSplitting {
  /// Composes canonically (NFC), collapses white space to single spaces and converts each scalar to
  /// lower case.
  static func normalize(_ text: some StringProtocol) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    var isInSpace = false
    for scalar in text.precomposedStringWithCanonicalMapping.unicodeScalars {
      let isSpace = scalar.properties.isWhitespace
      if isSpace {
        if !isInSpace { result.append(" ") }
      } else {
        result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
      }
      isInSpace = isSpace
    }
    return result
  }

  /// The words of a normalized text as UTF-8 bytes, without white space.
  ///
  /// A word is `<|startoftext|>`, `<|endoftext|>`, one of `'s 't 're 've 'm 'll 'd`, a run of
  /// letters, one digit, or a run of other characters.
  static func words(_ text: [Unicode.Scalar]) -> [[UInt8]] {
    var words: [[UInt8]] = []
    var position = 0
    func take(_ count: Int) {
      words.append(text[position..<position + count].flatMap { [UInt8](String($0).utf8) })
      position += count
    }
    func run(while belongs: (Unicode.Scalar) -> Bool) -> Int {
      text[position...].prefix(while: belongs).count
    }
    while position < text.count {
      let scalar = text[position]
      if let special = specials.first(where: { text[position...].starts(with: $0) }) {
        // The tokenizer's second splitter, GPT-2's, separates the name from its brackets.
        take(2)
        take(special.count - 4)
        take(2)
      } else if let ending = endings.first(where: { text[position...].starts(with: $0) }) {
        take(ending.count)
      } else if isLetter(scalar) {
        take(run(while: isLetter))
      } else if isNumber(scalar) {
        take(1)
      } else if scalar.properties.isWhitespace {
        position += 1
      } else {
        take(run { !$0.properties.isWhitespace && !isLetter($0) && !isNumber($0) })
      }
    }
    return words
  }

  private static let specials = [CLIPVocabulary.begin, CLIPVocabulary.end]
    .map { Array($0.unicodeScalars) }

  private static let endings = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]
    .map { Array($0.unicodeScalars) }

  private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  private static func isNumber(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: true
    default: false
    }
  }

  /// Whether a scalar belongs to a word, for tokens that match only whole words.
  static func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
    default: scalar.properties.isAlphabetic
    }
  }
}
