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
    guard SingleFileKeys.wrapperParts.contains(where: name.contains) else { return nil }
    return plainSplit(unwrapped(name))
  }

  private static func plainSplit(_ name: String) -> (module: String, part: AdapterPart)? {
    guard let (ending, part) = allEndings.first(where: { name.hasSuffix($0.ending) }) else {
      return nil
    }
    return (String(name.dropLast(ending.count)), part)
  }

  /// A name without the parts that PyTorch, PEFT and trainers add: `_orig_mod` (with dots or, in
  /// kohya's names, with underscores), those of FSDP and `module` anywhere, `base_model.model` anywhere, and
  /// containers such as `state_dict` at the beginning.
  package static func unwrapped(_ name: String) -> String {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if parts.count > 1 {
      parts.removeAll { SingleFileKeys.wrapperParts.contains($0) || $0 == distributed }
    }
    var plain = parts.joined(separator: ".")
    if plain.contains(compiled) {
      plain = plain.replacing(compiled + "_", with: "").replacing("_" + compiled, with: "")
    }
    var isContained = true
    while isContained {
      isContained = false
      for container in [wrapper] + containers where plain.hasPrefix(container) {
        plain.removeFirst(container.count)
        isContained = true
      }
    }
    return plain.replacing("." + wrapper, with: ".")
  }
}
