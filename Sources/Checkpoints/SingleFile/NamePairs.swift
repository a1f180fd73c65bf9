/// A two-way map between module names in diffusers' layout and in another layout. The rest of a
/// tensor's name (`.weight`, the parts of an attention) is equal in both.
struct NamePairs: Sendable {
  private var toOther: [String: String] = [:]
  private var toDiffusers: [String: String] = [:]

  mutating func add(_ diffusers: String, _ other: String) {
    toOther[diffusers] = other
    toDiffusers[other] = diffusers
  }

  /// Adds several modules below a pair of prefixes.
  mutating func add(_ diffusers: String, _ other: String, _ parts: [(String, String)]) {
    for (ownPart, otherPart) in parts {
      add("\(diffusers).\(ownPart)", "\(other).\(otherPart)")
    }
  }

  /// The other layout's name of a tensor; `nil` for an unknown module.
  func other(_ diffusers: String) -> String? { Self.translate(diffusers, toOther) }

  /// diffusers' name of a tensor; `nil` for an unknown module.
  func diffusers(_ other: String) -> String? { Self.translate(other, toDiffusers) }

  /// Replaces the longest prefix of whole dot-separated parts that is in the table.
  private static func translate(_ name: String, _ table: [String: String]) -> String? {
    var end = name.endIndex
    while true {
      if let place = table[String(name[..<end])] { return place + name[end...] }
      guard let dot = name[..<end].lastIndex(of: ".") else { return nil }
      end = dot
    }
  }
}
