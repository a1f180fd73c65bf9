/// Names of modules in diffusers' layout and in another, pair by pair; what follows a module's name
/// (`.weight`, the parts of an attention) is the same in both.
struct NamePairs: Sendable {
  private var toOther: [String: String] = [:]
  private var toDiffusers: [String: String] = [:]

  mutating func add(_ diffusers: String, _ other: String) {
    toOther[diffusers] = other
    toDiffusers[other] = diffusers
  }

  /// Several modules below a pair of places.
  mutating func add(_ diffusers: String, _ other: String, _ parts: [(String, String)]) {
    for (ours, theirs) in parts { add("\(diffusers).\(ours)", "\(other).\(theirs)") }
  }

  /// The other layout's name of a tensor; `nil` for one of no known module.
  func other(_ diffusers: String) -> String? { Self.translate(diffusers, toOther) }

  /// diffusers' name of a tensor; `nil` for one of no known module.
  func diffusers(_ other: String) -> String? { Self.translate(other, toDiffusers) }

  /// Replaces the longest beginning, up to a dot, that the table knows.
  private static func translate(_ name: String, _ table: [String: String]) -> String? {
    var end = name.endIndex
    while true {
      if let place = table[String(name[..<end])] { return place + name[end...] }
      guard let dot = name[..<end].lastIndex(of: ".") else { return nil }
      end = dot
    }
  }
}
