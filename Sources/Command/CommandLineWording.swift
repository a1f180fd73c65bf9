internal import Support

/// A word of a printed command line.
enum CommandWord: ExpressibleByStringLiteral {
  case word(String)
  /// A path, which is not taken for an option where it begins with a hyphen.
  case path(String)

  init(stringLiteral word: String) { self = .word(word) }

  /// The word as a shell reads it.
  fileprivate var quoted: String {
    switch self {
    case .word(let word): word.quotedForShell
    case .path(let path): path.asArgument.quotedForShell
    }
  }
}

/// A command line of this program that can be pasted into a shell: `decant inspect 'a model'`.
///
/// - Parameter options: options with their values, after the words.
func commandLine(_ words: [CommandWord], options: [String] = []) -> String {
  (["decant"] + words.map(\.quoted) + options.map(\.quotedForShell)).joined(separator: " ")
}

extension String {
  /// A path that is not taken for an option.
  var asArgument: String { hasPrefix("-") ? "./" + self : self }

  /// A word as a shell reads it: in quotes, where it holds more than letters, digits and
  /// punctuation of paths.
  var quotedForShell: String {
    if wholeMatch(of: /[\w.\/+=:,@-]+/) != nil { return self }
    return "'" + shown(self, limit: .max).replacing("'", with: "'\\''") + "'"
  }
}
