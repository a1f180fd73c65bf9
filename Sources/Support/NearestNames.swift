/// The names with the smallest edit distance from `name`, nearest first, for "did you mean".
///
/// - Parameters:
///   - count: the maximum number of names.
///   - distance: the maximum edit distance in bytes; `nil` for no limit.
package func nearestNames(
  to name: String, among names: some Sequence<String>, count: Int = 3, within distance: Int? = nil
) -> [String] {
  names.map { (name: $0, distance: editDistance(name, $0)) }
    .filter { $0.distance <= distance ?? .max }
    .sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }
    .prefix(count).map(\.name)
}

/// The Levenshtein distance in bytes: the number of insertions, deletions and replacements.
private func editDistance(_ a: String, _ b: String) -> Int {
  // Names in a hostile file may be long. The first 200 bytes are enough for a suggestion.
  let a = a.utf8.prefix(200)
  let b = Array(b.utf8.prefix(200))
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let above = row[j + 1]
      row[j + 1] = x == y ? diagonal : 1 + min(diagonal, above, row[j])
      diagonal = above
    }
  }
  return row[b.count]
}
