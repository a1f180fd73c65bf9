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

/// The member of a list that a user's name means; `nil` where no member has the name.
///
/// Case, spaces and punctuation are ignored, and `++` equals `pp`. Of several members with the
/// name, the first counts, unless another has it letter by letter.
///
/// - Parameters:
///   - ending: an ending that names may lack: `scheduler`.
///   - names: the names of a member.
package func member<Member>(
  named name: String, of list: [Member], optionalEnding ending: String = "",
  names: (Member) -> [String]
) -> Member? {
  if let member = list.first(where: { names($0).contains(name) }) { return member }
  let wanted = comparableName(name, optionalEnding: ending)
  if wanted.isEmpty { return nil }
  return list.first { member in
    names(member).contains { comparableName($0, optionalEnding: ending) == wanted }
  }
}

/// The members of a list that a user may have meant by an unknown name: at most three whose names
/// begin with it, else the nearest ones, of whose letters a third may differ, at most 3.
package func similarMembers<Member>(
  to name: String, of list: [Member], optionalEnding ending: String = "",
  names: (Member) -> [String]
) -> [Member] {
  let wanted = comparableName(name, optionalEnding: ending)
  let candidates = list.enumerated().flatMap { index, member in
    names(member).map { (index: index, name: comparableName($0, optionalEnding: ending)) }
  }
  var found = wanted.count < 3 ? [] : candidates.filter { $0.name.hasPrefix(wanted) }.map(\.index)
  if found.isEmpty {
    let nearest = nearestNames(
      to: wanted, among: candidates.map(\.name), within: min(3, (wanted.count + 1) / 3))
    found = nearest.compactMap { name in candidates.first { $0.name == name }?.index }
  }
  var distinct: [Int] = []
  for index in found where !distinct.contains(index) { distinct.append(index) }
  return distinct.prefix(3).map { list[$0] }
}

/// The names of a list that are similar to an unknown name; see ``similarMembers(to:of:optionalEnding:names:)``.
package func similarNames(to name: String, among names: [String]) -> [String] {
  similarMembers(to: name, of: names) { [$0] }
}

/// The part of a message that suggests names: ` (did you mean 'a' or 'b'?)`; empty without names.
package func didYouMean(_ names: [String]) -> String {
  names.isEmpty ? "" : " (did you mean \(alternatives(names.map { "'\(shown($0))'" }))?)"
}

/// A name as letters and digits in lower case, with `pp` for `++`: `dpmpp2mkarras` for
/// `DPM++ 2M Karras` and `dpmpp_2m_karras`.
private func comparableName(_ name: String, optionalEnding ending: String) -> String {
  let letters = name.lowercased().replacing("++", with: "pp").filter { $0.isLetter || $0.isNumber }
  return !ending.isEmpty && letters.hasSuffix(ending)
    ? String(letters.dropLast(ending.count)) : letters
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
