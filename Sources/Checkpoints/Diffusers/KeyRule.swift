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

/// A source with tensors renamed by rules, after the wrappers around the names were removed.
struct RenamedSource: WeightSource {
  let names: [String]
  private let base: any WeightSource
  private let origins: [String: (name: String, entry: TensorEntry, flattened: Bool)]

  init(
    _ base: any WeightSource, rules: [KeyRule], wrappers: NameWrappers
  ) throws(KeyCollision) {
    var names: [String] = []
    var origins: [String: (name: String, entry: TensorEntry, flattened: Bool)] = [:]
    for origin in base.names {
      let outcome = KeyRule.apply(rules, to: wrappers.removed(from: origin))
      guard case .named(let name, let flattens) = outcome, let entry = base.entry(origin) else {
        continue
      }
      if let other = origins[name] {
        throw KeyCollision(name: name, first: other.name, second: origin)
      }
      names.append(name)
      let shape = flattens ? KeyRule.flattened(entry.shape, of: name) : entry.shape
      origins[name] = (
        origin, TensorEntry(shape: shape, encoding: entry.encoding), shape != entry.shape
      )
    }
    self.base = base
    self.names = names
    self.origins = origins
  }

  var location: String { base.location }

  func entry(_ name: String) -> TensorEntry? { origins[name]?.entry }

  func storedName(_ name: String) -> String {
    origins[name].map { base.storedName($0.name) } ?? name
  }

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

extension KeyRule {
  /// The shape of an attention's weight or bias without the extents of 1 that some files have: a
  /// kernel [out, in, 1, 1] as a matrix [out, in], a bias or a norm's weight [1, C, 1, 1] or
  /// [C, 1, 1] as [C]. Other shapes do not change.
  static func flattened(_ shape: Shape, of name: String) -> Shape {
    guard let last = name.split(separator: ".").last, ["weight", "bias"].contains(last) else {
      return shape
    }
    if last == "weight", !name.contains("norm.") {
      let isKernel = shape.rank > 2 && shape.extents.dropFirst(2).allSatisfy { $0 == 1 }
      return isKernel ? [shape[0], shape[1]] : shape
    }
    let isVector = shape.rank > 1 && shape.extents.count { $0 != 1 } <= 1
    return isVector ? [shape.count] : shape
  }
}
