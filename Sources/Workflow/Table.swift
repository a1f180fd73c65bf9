/// Formats rows as columns separated by two spaces, each as wide as its widest cell.
///
/// - Parameters:
///   - rightAligned: indices of columns to align to the right, such as columns of numbers.
///   - width: the most characters of a line; cells of the first column are truncated to fit, but
///     not below 8 characters. `nil` truncates nothing.
package func table(
  _ rows: [[String]], rightAligned: Set<Int> = [], width: Int? = nil
) -> String {
  let columns = rows.map(\.count).max() ?? 0
  var widths = (0..<columns).map { column in
    rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
  }
  if let width, columns > 0 {
    let others = widths.dropFirst().reduce(0) { $0 + 2 + $1 }
    widths[0] = min(widths[0], max(8, width - others))
  }
  return rows.map { row in
    var line = ""
    for (column, text) in row.enumerated() {
      let isTooWide = text.count > widths[column]
      let cell = isTooWide ? text.prefix(widths[column] - 1) + "…" : text
      let space = String(repeating: " ", count: widths[column] - cell.count)
      if column > 0 { line += "  " }
      line += rightAligned.contains(column) ? space + cell : cell + space
    }
    while line.last == " " { line.removeLast() }
    return line
  }.joined(separator: "\n")
}
