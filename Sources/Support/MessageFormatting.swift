/// Text of a file in a form that is safe in a message: on one line, of bounded length, with control
/// characters escaped.
package func shown(_ text: String, limit: Int = 120) -> String {
  let scalars = text.unicodeScalars
  return escaped(scalars.prefix(limit)) + (scalars.dropFirst(limit).isEmpty ? "" : "…")
}

/// A whole message, of bounded length. Only line breaks before an indented line stay, so text of a
/// file that no function escaped cannot look like a message of its own.
package func bounded(message: String) -> String {
  let limit = 20_000
  let scalars = Array(message.unicodeScalars.prefix(limit + 1))
  let result = escaped(scalars.prefix(limit)) { index in
    scalars[index] == "\n" && scalars[(index + 1)...].starts(with: "  ".unicodeScalars)
  }
  return scalars.count > limit ? result + "…" : result
}

/// Text for a terminal: line breaks and tabs stay, other control characters are escaped.
///
/// Everything that is printed passes through this function last. A name with control characters
/// therefore never reaches the terminal, even where a message forgets ``shown(_:limit:)``.
package func escapedForTerminal(_ text: String) -> String {
  let scalars = text.unicodeScalars
  return escaped(scalars) { scalars[$0] == "\n" || scalars[$0] == "\t" }
}

/// Text with its control characters escaped.
///
/// - Parameter isKept: whether the control character at that place stays.
private func escaped<Scalars: Collection>(
  _ scalars: Scalars, unless isKept: (Scalars.Index) -> Bool = { _ in false }
) -> String where Scalars.Element == Unicode.Scalar {
  var result = ""
  for index in scalars.indices {
    let scalar = scalars[index]
    if scalar.isControl, !isKept(index) {
      result += scalar.escape
    } else {
      result.unicodeScalars.append(scalar)
    }
  }
  return result
}

extension Unicode.Scalar {
  /// Whether a terminal may interpret the scalar instead of showing it: control characters, the two
  /// separators of lines and paragraphs, and those that change the direction of the text.
  var isControl: Bool {
    switch value {
    case 0..<0x20, 0x7f...0x9f, 0x2028...0x202e, 0x2066...0x2069: true
    default: false
    }
  }

  /// `\u{1b}`
  fileprivate var escape: String { "\\u{\(String(value, radix: 16))}" }
}

/// A list of names for a message: `a, b and c`. It names the first ones and counts the rest.
package func listed(_ names: [String], limit: Int = 12) -> String {
  joined(first(limit, of: names) { shown($0, limit: 80) }, "and")
}

/// The names of a choice for a message: `a, b or c`; with a limit, the first ones and the number of
/// the rest.
package func alternatives(_ names: [String], limit: Int = .max) -> String {
  joined(first(limit, of: names) { $0 }, "or")
}

private func first(
  _ limit: Int, of names: [String], _ form: (String) -> String
) -> [String] {
  names.prefix(limit).map(form) + (names.count > limit ? ["\(names.count - limit) more"] : [])
}

private func joined(_ items: [String], _ conjunction: String) -> String {
  guard let last = items.last else { return "nothing" }
  let others = items.dropLast().joined(separator: ", ")
  return others.isEmpty ? last : "\(others) \(conjunction) \(last)"
}

/// A count with its noun: `1 image`, `2 images`.
package func counted(_ count: Int, _ noun: String) -> String {
  "\(count) \(noun)\(count == 1 ? "" : "s")"
}

/// `value` as lowercase hexadecimal digits, padded with zeros to the width of its type.
package func hexadecimalText(_ value: some FixedWidthInteger & UnsignedInteger) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: max(0, value.bitWidth / 4 - digits.count)) + digits
}

/// Bytes as lowercase hexadecimal digits, two for each byte.
package func hexadecimalText(_ bytes: [UInt8], separator: String = "") -> String {
  bytes.map { hexadecimalText($0) }.joined(separator: separator)
}
