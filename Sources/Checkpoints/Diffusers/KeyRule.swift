import Formats
import ModelSources
import Tensors

extension KeyRule {
  /// The parts of `name` that the wildcards match; `nil` where the pattern does not match.
  func match(_ name: [Substring]) -> [[Substring]]? {
    Self.match(from.split(separator: ".")[...], name[...])
  }

  private static func match(
    _ pattern: ArraySlice<Substring>, _ name: ArraySlice<Substring>
  ) -> [[Substring]]? {
    guard let first = pattern.first else { return name.isEmpty ? [] : nil }
    let rest = pattern.dropFirst()
    switch first {
    case "**":
      for count in 0...name.count {
        if let tail = match(rest, name.dropFirst(count)) {
          return [Array(name.prefix(count))] + tail
        }
      }
      return nil
    case "*":
      guard let part = name.first, let tail = match(rest, name.dropFirst()) else { return nil }
      return [[part]] + tail
    default:
      return name.first == first ? match(rest, name.dropFirst()) : nil
    }
  }

  /// ``to`` with its wildcards replaced.
  private func fill(_ to: String, with wildcards: [[Substring]]) -> String {
    var rest = wildcards[...]
    return to.split(separator: ".").flatMap { part in
      part == "*" || part == "**" ? rest.popFirst() ?? [] : [part]
    }.joined(separator: ".")
  }

  /// The result of applying rules to a tensor's name.
  enum Outcome: Equatable {
    case dropped
    case named(String, flattens: Bool)
  }

  /// Applies the first rule that matches; without one, the name stays.
  static func apply(_ rules: [KeyRule], to name: String) -> Outcome {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    for rule in rules {
      guard let wildcards = rule.match(parts) else { continue }
      guard let to = rule.to else { return .dropped }
      return .named(rule.fill(to, with: wildcards), flattens: rule.flattens)
    }
    return .named(name, flattens: false)
  }
}

/// Two tensors of a source that get the same name.
struct KeyCollision: Error, Equatable {
  let name: String
  let first: String
  let second: String
}

/// A source with tensors renamed by rules.
struct RenamedSource: WeightSource {
  let names: [String]
  private let base: any WeightSource
  private let origins: [String: (name: String, entry: TensorEntry, flattened: Bool)]

  init(_ base: any WeightSource, rules: [KeyRule]) throws(KeyCollision) {
    var names: [String] = []
    var origins: [String: (name: String, entry: TensorEntry, flattened: Bool)] = [:]
    for origin in base.names {
      guard case .named(let name, let flattens) = KeyRule.apply(rules, to: origin),
        let entry = base.entry(origin)
      else { continue }
      if let other = origins[name] {
        throw KeyCollision(name: name, first: other.name, second: origin)
      }
      names.append(name)
      let matrix = flattens ? Self.matrix(entry) : nil
      origins[name] = (origin, matrix ?? entry, matrix != nil)
    }
    self.base = base
    self.names = names
    self.origins = origins
  }

  /// The entry of a 1×1 convolution kernel as a matrix; `nil` for other shapes.
  private static func matrix(_ entry: TensorEntry) -> TensorEntry? {
    guard entry.shape.rank == 4, entry.shape[2] == 1, entry.shape[3] == 1 else { return nil }
    return TensorEntry(
      shape: [entry.shape[0], entry.shape[1]], encoding: entry.encoding)
  }

  var location: String { base.location }

  func entry(_ name: String) -> TensorEntry? { origins[name]?.entry }

  func tensor(_ name: String) throws -> StoredTensor {
    guard let origin = origins[name] else {
      throw absent(name)
    }
    let tensor = try base.tensor(origin.name)
    guard origin.flattened else { return tensor }
    return StoredTensor(
      shape: origin.entry.shape, encoding: tensor.encoding, parts: tensor.parts)
  }
}
