import Formats
import ModelSources
import Support

/// The prefixes below which a file has the tensors of a component, whatever stands before the names of
/// single files. A model has one for each component.
struct NamePlaces {
  /// The tensors below one prefix.
  struct Place {
    /// With its last dot; may be empty.
    let prefix: String
    /// The tensors' names below the prefix, each with its name in the file.
    fileprivate(set) var names: [String: String] = [:]

    var text: String {
      "\(names.count) " + (prefix.isEmpty ? "without a prefix" : "below '\(shown(prefix))'")
    }
  }

  private var places: [SingleFileKeys.Group: [String: Place]] = [:]

  /// - Parameter names: the names of all tensors of the file.
  init(_ names: [String]) {
    // The limit bounds the time for hostile files.
    for name in names.prefix(50_000) {
      guard let (prefix, group) = Self.prefix(of: name) else { continue }
      let own = String(name.dropFirst(prefix.count))
      places[group, default: [:]][prefix, default: Place(prefix: prefix)].names[own] = name
    }
  }

  /// The text before the name of a component's tensor, and the component; `nil` for other names.
  private static func prefix(
    of name: String
  ) -> (prefix: String, group: SingleFileKeys.Group)? {
    var start = name.startIndex
    // Prefixes of training code have few parts.
    for _ in 0..<5 {
      let rest = name[start...]
      if let known = SingleFileKeys.prefixes.first(where: { rest.hasPrefix($0.prefix) }) {
        return (String(name[..<start]) + known.prefix, known.group)
      }
      if let beginning = SingleFileKeys.beginnings.first(where: { rest.hasPrefix($0.prefix) }) {
        return (String(name[..<start]), beginning.group)
      }
      guard let dot = rest.firstIndex(of: ".") else { return nil }
      start = name.index(after: dot)
    }
    return nil
  }

  /// The two places with most tensors of a component that has more than one, the larger first.
  private var pairs: [(component: String, first: Place, second: Place)] {
    let groups: [SingleFileKeys.Group] = [.unet, .vae, .text, .textXL, .text2]
    return groups.compactMap { group in
      let sorted = (places[group] ?? [:]).values.sorted {
        ($1.names.count, $0.prefix) < ($0.names.count, $1.prefix)
      }
      return sorted.count < 2 ? nil : (group.component, sorted[0], sorted[1])
    }
  }

  /// The error for a component that is in the file twice, or in parts below two prefixes; `nil` where
  /// none is. A file that can be read may hold such tensors too.
  func fault(in path: String) -> SingleFileError? {
    for (component, first, second) in pairs {
      let shared = second.names.keys.count { first.names[$0] != nil }
      // A few tensors of that name may belong to something else.
      if second.names.count < 2 || second.names.count * 20 < first.names.count { continue }
      if shared == 0 { return Self.divided(path, component, first, second) }
      if 2 * shared > second.names.count {
        return .severalModels(
          path: path, component: component, places: [first.text, second.text])
      }
    }
    return nil
  }

  /// The error for a component with layers whose weights are below one prefix and whose biases are below
  /// another; `nil` where there is none. A model without those biases would be read otherwise.
  func faultOfLayers(in path: String) -> SingleFileError? {
    for (component, first, second) in pairs
    where second.names.keys.allSatisfy({ first.names[$0] == nil }) {
      let isDivided = second.names.keys.contains { name in
        [(".bias", ".weight"), (".weight", ".bias")].contains { own, other in
          name.hasSuffix(own) && first.names[name.dropLast(own.count) + other] != nil
        }
      }
      if isDivided { return Self.divided(path, component, first, second) }
    }
    return nil
  }

  private static func divided(
    _ path: String, _ component: String, _ first: Place, _ second: Place
  ) -> SingleFileError {
    .divided(
      path: path, component: component, places: [first.text, second.text],
      example: second.names.values.min() ?? "")
  }
}

extension SingleFileKeys.Group {
  /// The name of the component.
  var component: String {
    switch self {
    case .unet: ComponentName.unet
    case .vae: ComponentName.vae
    case .text, .textXL: ComponentName.textEncoder
    case .text2: ComponentName.textEncoder2
    }
  }
}
