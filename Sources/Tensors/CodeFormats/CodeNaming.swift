/// Formats of integer codes whose names have one pattern, such as `int8-g64`.
///
/// A pattern is one file with a type that conforms to this protocol, and one line in
/// ``CodeNamings/all``.
protocol CodeNaming: Sendable {
  /// The format of that name; `nil` for a name of another pattern.
  func format(named name: String) -> CodeFormat?
}

/// Every pattern of names of integer encodings. Files may have these encodings.
enum CodeNamings {
  static let all: [any CodeNaming] = [
    SymmetricNaming(),
    RotatedNaming(),
    KQuantNaming(),
  ]

  /// The format of that name, or `nil`.
  static func format(named name: String) -> CodeFormat? {
    all.lazy.compactMap { $0.format(named: name) }.first
  }
}
