private import Foundation

/// A piece of a page: text in it was escaped when it was put there.
struct HTML: ExpressibleByStringInterpolation, Sendable, Equatable {
  /// Markup as it is sent.
  let markup: String

  init(markup: String) { self.markup = markup }

  init(stringLiteral value: String) { markup = value }

  init(stringInterpolation: Interpolation) { markup = stringInterpolation.markup }

  /// Literal parts are markup, everything that is interpolated is text, unless it is HTML already.
  struct Interpolation: StringInterpolationProtocol {
    var markup = ""

    init(literalCapacity: Int, interpolationCount: Int) {}

    mutating func appendLiteral(_ literal: String) { markup += literal }

    mutating func appendInterpolation(_ html: HTML) { markup += html.markup }

    mutating func appendInterpolation(_ parts: [HTML]) {
      for part in parts { markup += part.markup }
    }

    mutating func appendInterpolation(_ text: String) { markup += escaped(text) }

    mutating func appendInterpolation(_ number: Int) { markup += String(number) }
  }

  static func + (a: HTML, b: HTML) -> HTML { HTML(markup: a.markup + b.markup) }
}

/// Text that stands for itself in elements and in quoted attributes.
func escaped(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "'": result += "&#39;"
    // Control characters are no characters of an HTML document.
    case "\u{0}"..<"\u{9}", "\u{b}"..<"\u{d}", "\u{e}"..<"\u{20}", "\u{7f}": result += "\u{fffd}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// `value` with so many significant digits, without an exponent where that stays readable.
func significant(_ value: Double, _ digits: Int = 3) -> String {
  if value == .infinity { return "∞" }
  if value == -.infinity { return "−∞" }
  if value.isNaN { return "not a number" }
  if value == 0 { return "0" }
  let exponent = Int(log10(abs(value)).rounded(.down))
  if exponent < -4 || exponent > 7 {
    let mantissa = value / pow(10, Double(exponent))
    return "\(fixed(mantissa, digits - 1))e\(exponent)"
  }
  return fixed(value, max(0, digits - 1 - exponent))
}

/// `value` with so many digits after the point.
func fixed(_ value: Double, _ digits: Int) -> String {
  String(format: "%.\(digits)f", value)
}

/// Bytes as people read them: `482 MB`.
func bytes(_ count: Int) -> String {
  var value = Double(count)
  for unit in ["bytes", "kB", "MB"] {
    if value < 999.5 { return unit == "bytes" ? "\(count) bytes" : "\(significant(value)) \(unit)" }
    value /= 1000
  }
  return "\(significant(value)) GB"
}

/// A count with thin spaces between its thousands.
func grouped(_ count: Int) -> String {
  var digits = String(count.magnitude)
  var groups: [String] = []
  while digits.count > 3 {
    groups.insert(String(digits.suffix(3)), at: 0)
    digits.removeLast(3)
  }
  return (count < 0 ? "−" : "") + ([digits] + groups).joined(separator: "\u{202f}")
}
