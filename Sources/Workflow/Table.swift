private import Support

/// Formats rows as columns separated by two spaces, each as wide as its widest cell. Control
/// characters of cells are escaped, so that each row is one line.
///
/// - Parameters:
///   - rightAligned: indices of columns to align to the right, such as columns of numbers.
///   - width: the most characters of a line; cells of the first column continue on further lines
///     to fit, with at least 8 characters in each. `nil` wraps nothing.
package func table(
  _ rows: [[String]], rightAligned: Set<Int> = [], width: Int? = nil
) -> String {
  let rows = rows.map { $0.map { shown($0, limit: .max) } }
  let columns = rows.map(\.count).max() ?? 0
  var widths = (0..<columns).map { column in
    rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
  }
  if let width, columns > 0 {
    let others = widths.dropFirst().reduce(0) { $0 + 2 + $1 }
    widths[0] = min(widths[0], max(8, width - others))
  }
  return rows.flatMap { row in
    let names = wrapped(row.first ?? "", width: columns > 0 ? widths[0] : 0)
    var line = ""
    for (column, text) in row.enumerated() {
      let cell = column == 0 ? names[0] : text
      let space = String(repeating: " ", count: widths[column] - cell.count)
      if column > 0 { line += "  " }
      line += rightAligned.contains(column) ? space + cell : cell + space
    }
    while line.last == " " { line.removeLast() }
    return [line] + names.dropFirst()
  }.joined(separator: "\n")
}

/// The text in pieces of at most `width` characters, split after punctuation where it is in the
/// second half of a piece.
private func wrapped(_ text: String, width: Int) -> [String] {
  var pieces: [String] = []
  var rest = Substring(text)
  while rest.count > width {
    var piece = rest.prefix(width)
    let end = piece.lastIndex { "-_. ".contains($0) }.map { piece.index(after: $0) }
    if let end, rest.distance(from: rest.startIndex, to: end) * 2 > width { piece = piece[..<end] }
    pieces.append(String(piece))
    rest = rest[piece.endIndex...]
  }
  return pieces + [String(rest)]
}
