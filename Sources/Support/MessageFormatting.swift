/// Text of a file in a form that is safe in a message: on one line, of bounded length, with control
/// characters escaped.
package func shown(_ text: String, limit: Int = 120) -> String {
  var result = ""
  for (index, scalar) in text.unicodeScalars.enumerated() {
    if index == limit { return result + "…" }
    if scalar.properties.generalCategory == .control {
      result += "\\u{\(String(scalar.value, radix: 16))}"
    } else {
      result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// A list of names for a message: `a, b and c`. It names at most 12 and counts the rest.
package func listed(_ names: [String]) -> String {
  let limit = 12
  var items = names.prefix(limit).map { shown($0, limit: 80) }
  if names.count > limit { items.append("\(names.count - limit) more") }
  return joined(items, "and")
}

/// All names of a choice for a message: `a, b or c`.
package func alternatives(_ names: [String]) -> String { joined(names, "or") }

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
