private import Foundation

/// A size in decimal units: `1.72 GB`, `14.2 MB`, `812 bytes` (1 kB is 1000 bytes).
package func formatted(bytes: Int) -> String {
  // A number that rounds to 1000 of a unit is 1.00 of the next unit.
  let units: [(Double, String)] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
  for (size, unit) in units where Double(bytes) >= 0.9995 * size {
    return formatted(Double(bytes) / size, digits: 3) + " " + unit
  }
  return "\(bytes) bytes"
}

/// A count with thousands separators: `859,520,964`.
package func formatted(count: Int) -> String {
  let digits = String(count.magnitude)
  var output = count < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index) % 3 == 0 { output += "," }
    output.append(digit)
  }
  return output
}

/// A number with `digits` significant digits. Digits before the decimal point are never dropped.
/// The exponent notation is used below 0.001 and from 10,000,000.
package func formatted(_ number: Double, digits: Int) -> String {
  guard number.isFinite else { return number.isNaN ? "not a number" : number < 0 ? "-∞" : "∞" }
  if number == 0 { return "0" }
  let scientific = String(format: "%.\(digits - 1)e", number)
  if abs(number) < 1e-3 || abs(number) >= 1e7 { return scientific }
  // The exponent after rounding: with three digits, 9.996 becomes 10.0.
  let exponent = scientific.split(separator: "e").last.flatMap { Int($0) } ?? 0
  return formatted(number, decimals: max(0, digits - 1 - exponent))
}

/// A number with `decimals` digits after the decimal point.
package func formatted(_ number: Double, decimals: Int) -> String {
  String(format: "%.\(decimals)f", number)
}
