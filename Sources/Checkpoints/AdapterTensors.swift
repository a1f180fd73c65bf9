package import Formats

extension AdapterKeys {
  /// The endings of tensor names, with the part of the adapter that each stands for.
  private static let allEndings =
    endings
    + AdapterPart.allCases.filter { ![.down, .up, .mid].contains($0) }
    .map { (ending: ".\($0.rawValue)", part: $0) }

  /// The adapted module and the part that a tensor's name states; `nil` for tensors that belong to
  /// no adapter.
  package static func split(_ name: String) -> (module: String, part: AdapterPart)? {
    if let found = plainSplit(name) { return found }
    // `torch.compile` may wrap the layers of an adapter too: `….lora_A._orig_mod.weight`.
    let bare = NameWrappers.removingParts(name)
    return bare == name ? nil : plainSplit(bare)
  }

  private static func plainSplit(_ name: String) -> (module: String, part: AdapterPart)? {
    guard let (ending, part) = allEndings.first(where: { name.hasSuffix($0.ending) }) else {
      return nil
    }
    return (String(name.dropLast(ending.count)), part)
  }
}
