private import Foundation

/// What CLIP's tokenizer does with a text before byte pairs: normal form, spaces, lower case, words.
///
/// As the fast tokenizer of transformers does it, so without the HTML unescaping and repairs of
/// OpenAI's own.
enum TextSplitting {
  /// Canonical composition, every run of white space one space, lower case scalar by scalar.
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

  /// The words of a normalized text, white space left out, each as its UTF-8 bytes.
  ///
  /// The split is that of the expression `<|startoftext|>` or `<|endoftext|>` or one of
  /// `'s 't 're 've 'm 'll 'd`, or letters, or one number, or anything else up to a space, letter
  /// or number.
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
        // The second splitter of the tokenizer, GPT-2's, parts the word from its brackets.
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

  /// Whether a scalar is part of a word for tokens that match whole words only.
  static func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
    default: scalar.properties.isAlphabetic
    }
  }
}
