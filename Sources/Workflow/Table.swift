/// Rows as text in aligned columns.
///
/// - Parameter rightAligned: the indices of columns that are aligned to the right.
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
