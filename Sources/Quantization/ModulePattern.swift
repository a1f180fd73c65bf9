private import Support
private import Tensors

/// A glob pattern for module names: `time_embedding`, `*.attn2.*`, `up_blocks.?.resnets.2`.
///
/// `*` matches any characters, including dots, and `?` matches one character. A pattern that
/// matches a prefix of whole name parts (`mid_block`) matches every module below it.
package struct ModulePattern: Hashable, Sendable, CustomStringConvertible {
  package let text: String
  private let characters: [Character]

  package init(_ text: String) {
    self.text = text
    characters = Array(text)
  }

  package var description: String { text }

  package func matches(_ module: String) -> Bool {
    prefixes(of: module).contains { matches(Array($0)) }
  }

  /// Matches a glob. It backtracks to the last star only, which bounds the time by the product of
  /// both lengths.
  private func matches(_ name: [Character]) -> Bool {
    var position = 0
    var index = 0
    var star: (pattern: Int, name: Int)?
    while index < name.count {
      if position < characters.count, characters[position] == "*" {
        star = (position, index)
        position += 1
      } else if position < characters.count,
        characters[position] == "?" || characters[position] == name[index]
      {
        position += 1
        index += 1
      } else if let last = star {
        position = last.pattern + 1
        index = last.name + 1
        star = (last.pattern, last.name + 1)
      } else {
        return false
      }
    }
    return characters[position...].allSatisfy { $0 == "*" }
  }

  /// Up to three names of modules, or prefixes of them, with the most similar spelling.
  func nearest(among modules: [String]) -> [String] {
    var names: Set<String> = []
    for module in modules { names.formUnion(prefixes(of: module)) }
    return nearestNames(to: text, among: names)
  }
}

/// The prefixes of a name by whole parts: `a`, `a.b` and `a.b.c` for `a.b.c`.
private func prefixes(of module: String) -> [String] {
  let parts = module.split(separator: ".")
  return parts.indices.map { parts[...$0].joined(separator: ".") }
}
