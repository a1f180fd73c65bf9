private import Formats
internal import Support
package import Tensors

/// A kind of model or file that Decant does not read; see `ForeignModels` and `ForeignClasses`.
package struct ForeignKind: Sendable, Equatable, CustomStringConvertible {
  /// The name and what it is: `Flux, a diffusion transformer without a U-Net`.
  package let description: String
  /// What can be done, as a clause.
  package let remedy: String
  /// Whether programs load it in addition to a model.
  package let isBesideModel: Bool

  /// - Parameter mark: what shows the kind, as in `'in_channels' 8`.
  private init(_ kind: ForeignModels.Kind, mark: String? = nil) {
    description = kind.description + (mark.map { " (\($0))" } ?? "")
    remedy = kind.nature.remedy
    isBesideModel = kind.nature.isBesideModel
  }

  /// The kind of a pipeline or a component of that class; `nil` for classes that are read, and for
  /// unknown ones.
  package init?(ofClass name: String) {
    guard let kind = ForeignClasses.kind(ofClass: name) else { return nil }
    self.init(kind)
  }

  /// The kind that a component's class and config show; `nil` for components that are read.
  package init?(_ component: ModelSource.Component) {
    if let kind = ForeignClasses.kind(ofClass: component.className) {
      self.init(kind, mark: "class '\(shown(component.className))'")
      return
    }
    let found = ForeignClasses.kind(ofComponent: component.name) { component.config[$0]?.text() }
    guard let kind = found, case .member(_, let member, _) = kind.mark else { return nil }
    let value = component.config[member] ?? .null
    self.init(kind, mark: "'\(member)' \(shown(value.text(), limit: 40))")
  }

  /// The kind that a file's tensors show; `nil` where they show none.
  ///
  /// - Parameter onlyUNets: whether only the kinds count whose tensors extend a U-Net that would be
  ///   read without them.
  package init?(_ weights: any WeightSource, onlyUNets: Bool = false) {
    self.init(names: weights.names, onlyUNets: onlyUNets) { weights.entry($0)?.shape }
  }

  /// The kind that the names of a file's members show; `nil` where they show none.
  package init?(
    names: [String], onlyUNets: Bool = false, _ shapeOf: (String) -> Shape? = { _ in nil }
  ) {
    // The limit bounds the time for hostile files.
    let names = names.prefix(50_000)
    let texts = names.map { Array($0.utf8) }
    func shape(_ ending: String) -> Shape? {
      names.first { $0 == ending || $0.hasSuffix("." + ending) }.flatMap(shapeOf)
    }
    let kinds = onlyUNets ? ForeignModels.ofUNets : ForeignModels.byTensors
    let kind = kinds.first { kind in
      switch kind.mark {
      case .tensors(let marks):
        marks.allSatisfy { mark in
          let pattern = NamePattern(mark)
          return texts.contains(where: pattern.occurs)
        }
      case .extent(let ending, let axis, let extent):
        shape(ending).map { axis < $0.rank && $0[axis] == extent } ?? false
      case .rank(let ending, let rank): shape(ending)?.rank == rank
      case .type, .member: false
      }
    }
    guard let kind else { return nil }
    self.init(kind)
  }
}

extension [ModelSource.Component] {
  /// The first component that shows a kind of model that is not read.
  package var foreign: (component: String, kind: ForeignKind)? {
    for component in self {
      if let kind = ForeignKind(component) { return (component.name, kind) }
    }
    return nil
  }
}

/// A text that occurs in names, at the beginning where it begins with `^`, at the end where it ends
/// with `$`.
private struct NamePattern {
  private let text: [UInt8]
  private let isBeginning: Bool
  private let isEnd: Bool

  init(_ mark: String) {
    isBeginning = mark.hasPrefix("^")
    isEnd = mark.hasSuffix("$")
    text = Array(mark.utf8.dropFirst(isBeginning ? 1 : 0).dropLast(isEnd ? 1 : 0))
  }

  func occurs(in name: [UInt8]) -> Bool {
    guard name.count >= text.count else { return false }
    if isBeginning { return name.starts(with: text) && (!isEnd || name.count == text.count) }
    let last = name.count - text.count
    if isEnd { return matches(name, at: last) }
    for start in 0...last where name[start] == text[0] {
      if matches(name, at: start) { return true }
    }
    return false
  }

  private func matches(_ name: [UInt8], at start: Int) -> Bool {
    for index in text.indices where name[start + index] != text[index] { return false }
    return true
  }
}
