internal import Formats
package import ModelSources
internal import Support

/// What training code put before or into the names of a component's tensors: a prefix before every
/// name, such as `module.` (DataParallel) or `model.state_dict.` (nested dictionaries), and parts
/// such as `_orig_mod` (`torch.compile`) anywhere.
///
/// The prefix may be any text. It is found by tensors that every component of a kind has
/// (``SingleFileKeys/anchors``), so that a module with an unknown name is no prefix. Adapters change
/// any modules and have no such tensors; from their names, the known prefixes are removed.
package struct NameWrappers: Equatable {
  /// The prefix with its last dot; empty where there is none.
  let prefix: String
  /// The parts that occur in names.
  let parts: [String]

  /// The wrappers around the names of one component.
  ///
  /// - Parameters:
  ///   - names: the names of all tensors of the component.
  ///   - group: the component's kind.
  init(_ names: [String], around group: SingleFileKeys.Group) {
    parts = WrapperKeys.parts.filter { part in names.contains { $0.contains(part) } }
    let bare = parts.isEmpty ? names : names.map(Self.removingParts)
    let prefixes = Set(Self.anchors(in: bare).filter { $0.group == group }.map(\.prefix))
    let plain = prefixes.filter { !Self.isAverage($0) }
    prefix = prefixes.contains("") || plain.count != 1 ? "" : plain.first ?? ""
  }

  /// The name without the wrappers.
  func removed(from name: String) -> String {
    let bare = parts.isEmpty ? name : Self.removingParts(name)
    return bare.hasPrefix(prefix) ? String(bare.dropFirst(prefix.count)) : bare
  }

  /// What was removed, for the list of changes.
  ///
  /// - Parameter component: the component's name.
  func changes(of component: String) -> [ModelChange] {
    (prefix.isEmpty ? [] : [Self.change(prefix: prefix, of: component)])
      + (parts.isEmpty ? [] : [Self.change(parts: parts, of: component)])
  }
}

extension NameWrappers {
  /// The name without ``WrapperKeys/parts``.
  static func removingParts(_ name: String) -> String {
    guard WrapperKeys.parts.contains(where: { name.contains($0) }) else { return name }
    return name.split(separator: ".", omittingEmptySubsequences: false)
      .filter { !WrapperKeys.parts.contains(String($0)) }.joined(separator: ".")
  }

  /// The anchors among the names, each with the prefix before it, which may be empty.
  static func anchors(
    in names: [String]
  ) -> [(prefix: String, group: SingleFileKeys.Group, name: String)] {
    names.compactMap { name in
      let anchor = SingleFileKeys.anchors.first { tensor, _ in
        name.hasSuffix(tensor) && (name.count == tensor.count || name.hasSuffix("." + tensor))
      }
      return anchor.map { (String(name.dropLast($0.tensor.count)), $0.group, name) }
    }
  }

  /// The prefixes before the names of whole models: `module.` in
  /// `module.first_stage_model.encoder.conv_in.weight`.
  static func outerPrefixes(of names: [String]) -> Set<String> {
    Set(
      anchors(in: names).compactMap { anchor in
        SingleFileKeys.prefixes.lazy.compactMap { known, _ -> String? in
          anchor.name.firstRange(of: "." + known).map {
            String(anchor.name[..<$0.lowerBound]) + "."
          }
        }.first
      })
  }

  /// Whether a prefix is that of a moving average: `ema.`, `state_dict_ema.`
  static func isAverage(_ prefix: String) -> Bool {
    prefix.split { $0 == "." || $0 == "_" }
      .contains { WrapperKeys.averageWords.contains($0.lowercased()) }
  }

  static func change(prefix: String, of component: String?) -> ModelChange {
    ModelChange(
      .changed, component: component, "the prefix '\(prefix)' before every name was removed")
  }

  static func change(parts: [String], of component: String?) -> ModelChange {
    ModelChange(.changed, component: component, removal(of: parts))
  }

  private static func removal(of parts: [String]) -> String {
    "\(listed(parts.map { "'\($0)'" })) \(parts.count == 1 ? "was" : "were") removed from tensor names"
  }
}

// MARK: - Adapters

extension NameWrappers {
  /// The name of an adapter's module without what training code added, and the parts and prefixes
  /// that were removed.
  ///
  /// ``WrapperKeys/parts`` may be between dots or, in kohya's names, between underscores. `module`
  /// is removed anywhere between dots, PEFT's prefix at the beginning and after a component, and
  /// dictionaries such as `state_dict` at the beginning.
  package static func unwrapped(adapterModule name: String) -> (name: String, removed: [String]) {
    var removed: [String] = []
    var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if parts.count > 1 {
      parts.removeAll { part in
        guard WrapperKeys.parts.contains(part) || part == WrapperKeys.distributed else {
          return false
        }
        removed.append(part)
        return true
      }
    }
    var plain = parts.joined(separator: ".")
    for part in WrapperKeys.parts where plain.contains(part) {
      plain = plain.replacing(part + "_", with: "").replacing("_" + part, with: "")
      removed.append(part)
    }
    let prefixes = [WrapperKeys.peft] + WrapperKeys.containers
    while let prefix = prefixes.first(where: plain.hasPrefix) {
      plain.removeFirst(prefix.count)
      removed.append(prefix)
    }
    if plain.contains("." + WrapperKeys.peft) {
      plain = plain.replacing("." + WrapperKeys.peft, with: ".")
      removed.append(WrapperKeys.peft)
    }
    return (plain, removed)
  }

  /// What was removed from the names of an adapter file, for the list of changes of the model.
  ///
  /// - Parameter file: the file's name.
  package static func change(removed: [String], fromAdapter file: String) -> ModelChange {
    ModelChange(.changed, "\(removal(of: removed)) of \(file)", isRequested: true)
  }
}
