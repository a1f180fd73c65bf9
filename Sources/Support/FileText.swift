/// Limits of the text in files.
package enum TextLimits {
  /// The most combining marks in a row: the limit of Unicode's Stream-Safe Text Format (UAX #15,
  /// section 13). Swift compares and hashes strings in a normalized form, which takes quadratic
  /// time in the length of such a run.
  package static let combiningMarks = 30
  /// The most bytes of a name: of a JSON member, or of a key of GGUF, whose own limit this is.
  package static let name = 65_535
  /// The most bytes of a tensor's name.
  package static let tensorName = 1000
}

/// Limits of the tensors in one file.
package enum TensorLimits {
  /// The most tensors: forty times those of SDXL in one file.
  package static let count = 100_000
}

/// Why bytes of a file cannot be used as a text.
package enum TextFault: Error, Equatable, CustomStringConvertible {
  case notUTF8
  /// A run of more combining marks than ``TextLimits/combiningMarks``.
  case combiningMarks

  package var description: String {
    switch self {
    case .notUTF8: "not UTF-8"
    case .combiningMarks:
      "a text with more than \(TextLimits.combiningMarks) combining marks in a row"
    }
  }
}

extension String {
  /// The text of a file in UTF-8, which can be compared and hashed in linear time. Every reader
  /// makes its names and values with this initializer.
  package init(fileText bytes: some Sequence<UInt8>) throws(TextFault) {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notUTF8 }
    // The first combining mark is U+0300, whose UTF-8 begins with 0xCC.
    if text.utf8.contains(where: { $0 >= 0xcc }), text.hasLongRunOfMarks { throw .combiningMarks }
    self = text
  }

  private var hasLongRunOfMarks: Bool {
    var run = 0
    for scalar in unicodeScalars {
      run = scalar.isCombining ? run + 1 : 0
      if run > TextLimits.combiningMarks { return true }
    }
    return false
  }
}

extension Unicode.Scalar {
  /// Whether normalization may move the scalar past others: it has a combining class, or it has
  /// none itself and decomposes into scalars that have one.
  fileprivate var isCombining: Bool {
    if value < 0x300 { return false }
    return properties.canonicalCombiningClass != .notReordered
      || [0x0f73, 0x0f75, 0x0f81].contains(value)
  }
}
