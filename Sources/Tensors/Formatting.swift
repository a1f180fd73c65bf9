private import Foundation

/// A size as people read it: `1.72 GB`, `14.2 MB`, `812 bytes` (powers of ten, as disks count).
package func formatted(bytes: Int) -> String {
  // What would be rounded to a thousand is one of the next unit.
  let units: [(Double, String)] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
  for (size, unit) in units where Double(bytes) >= 0.9995 * size {
    return formatted(Double(bytes) / size, digits: 3) + " " + unit
  }
  return "\(bytes) bytes"
}

/// A count with thousands apart: `859,520,964`.
package func formatted(count: Int) -> String {
  let digits = String(count.magnitude)
  var output = count < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index) % 3 == 0 { output += "," }
    output.append(digit)
  }
  return output
}

/// A number with so many significant digits (whole ones are all kept), without an exponent where it is
/// of everyday size.
package func formatted(_ number: Double, digits: Int) -> String {
  guard number.isFinite else { return number.isNaN ? "not a number" : number < 0 ? "-∞" : "∞" }
  if number == 0 { return "0" }
  if abs(number) < 1e-3 || abs(number) >= 1e7 {
    return String(format: "%.\(digits - 1)e", number)
  }
  let whole = Int(log10(abs(number)).rounded(.down)) + 1
  return formatted(number, decimals: max(0, digits - whole))
}

/// A number with so many digits after the point.
package func formatted(_ number: Double, decimals: Int) -> String {
  String(format: "%.\(decimals)f", number)
}
