package import Formats

extension AdapterKeys {
  /// Every ending, with the part that a tensor of such a name is.
  private static let allEndings =
    endings
    + AdapterPart.allCases.filter { ![.down, .up, .mid].contains($0) }
    .map { (ending: ".\($0.rawValue)", part: $0) }

  /// The name of the adapted module and the part, of a tensor's name; `nil` for what is no part of an
  /// adapter.
  package static func split(_ name: String) -> (module: String, part: AdapterPart)? {
    guard let (ending, part) = allEndings.first(where: { name.hasSuffix($0.ending) }) else {
      return nil
    }
    return (String(name.dropLast(ending.count)), part)
  }
}
