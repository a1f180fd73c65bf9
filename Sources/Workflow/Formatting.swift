private import Foundation

/// A size as people read it: `1.72 GB`, `14.2 MB`, `812 bytes` (powers of ten, as disks count).
package func formatted(bytes: Int) -> String {
  let units: [(Double, String)] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
  for (size, unit) in units where Double(bytes) >= size {
    return formatted(Double(bytes) / size, digits: 3) + " " + unit
  }
  return "\(bytes) bytes"
}

/// A count with thousands apart: `859,520,964`.
package func formatted(count: Int) -> String {
  let digits = String(abs(count))
  var output = count < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index) % 3 == 0 { output += "," }
    output.append(digit)
  }
  return output
}

/// A number with so many significant digits (whole ones are all kept), without an exponent where it is of everyday size.
package func formatted(_ number: Double, digits: Int) -> String {
  guard number.isFinite else { return number.isNaN ? "nan" : number < 0 ? "-∞" : "∞" }
  if number != 0, abs(number) < 1e-3 || abs(number) >= 1e7 {
    return String(format: "%.\(digits - 1)e", number)
  }
  let whole = number == 0 ? 1 : Int(log10(abs(number)).rounded(.down)) + 1
  return String(format: "%.\(max(0, digits - whole))f", number)
}

/// Lines of columns, each as wide as its widest cell; numbers to the right.
package func table(_ rows: [[String]], rightAligned: Set<Int> = []) -> String {
  let columns = rows.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in
    rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
  }
  return rows.map { row in
    var line = ""
    for (column, cell) in row.enumerated() {
      let space = String(repeating: " ", count: widths[column] - cell.count)
      if column > 0 { line += "  " }
      line += rightAligned.contains(column) ? space + cell : cell + space
    }
    while line.last == " " { line.removeLast() }
    return line
  }.joined(separator: "\n")
}
