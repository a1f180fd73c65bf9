package import Models
package import Support
package import Tensors

/// Which tensor of a component is stored in which scheme, and why: decided from names and shapes
/// alone, before a weight is read.
package struct QuantizationPlan: Sendable {
  /// What a user may change about the default plan.
  package struct Choices: Sendable {
    /// The scheme of convolutions and linear layers.
    package var scheme: any Scheme
    package var method = RoundingMethod.mse
    /// The scheme of everything that is not quantized.
    package var rest: any Scheme
    /// When there are any, only modules that one of them matches are quantized.
    package var only: [ModulePattern] = []
    /// Modules that are not quantized.
    package var keep: [ModulePattern] = []
    /// Weights of modules that get a scheme of their own, excluded ones too; the last match wins.
    package var assign: [(pattern: ModulePattern, scheme: any Scheme)] = []

    package init(
      scheme: any Scheme, method: RoundingMethod = .mse,
      rest: any Scheme = Schemes.named("f16") ?? PlainScheme.all[0]
    ) {
      self.scheme = scheme
      self.method = method
      self.rest = rest
    }
  }

  package struct Entry: Sendable {
    package let tensor: String
    /// The module that the tensor belongs to.
    package let module: String
    package let shape: Shape
    package let scheme: any Scheme
    /// Why it has this scheme, as a table says it.
    package let reason: String

    /// Bytes of the tensor once it is stored.
    package var byteCount: Int { scheme.encoding.byteCount(for: shape) ?? 0 }
  }

  /// In the order of the modules.
  package let entries: [Entry]
  package let method: RoundingMethod
  private let places: [String: Int]

  /// - Throws: ``PlanError`` for a pattern that matches no module that it could change.
  package init(modules: [ModuleSpec], choices: Choices) throws(PlanError) {
    let matrices = modules.filter(\.kind.isMatrix).map(\.name)
    for (option, pattern) in choices.patterns
    where !matrices.contains(where: pattern.matches) {
      throw PlanError(
        option: option, pattern: pattern.text, nearest: pattern.nearest(among: matrices))
    }
    entries = modules.flatMap { module in
      let (scheme, reason) = choices.weightScheme(of: module)
      let weight = Entry(
        tensor: module.weight.name, module: module.name, shape: module.weight.shape,
        scheme: scheme, reason: reason)
      let bias = module.bias.map {
        Entry(
          tensor: $0.name, module: module.name, shape: $0.shape, scheme: choices.rest,
          reason: module.kind.isMatrix ? "bias" : reason)
      }
      return [weight] + (bias.map { [$0] } ?? [])
    }
    method = choices.method
    places = Self.places(entries)
  }

  /// A plan with other entries.
  init(entries: [Entry], method: RoundingMethod) {
    self.entries = entries
    self.method = method
    places = Self.places(entries)
  }

  private static func places(_ entries: [Entry]) -> [String: Int] {
    Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($0.element.tensor, $0.offset) })
  }

  package subscript(tensor: String) -> Entry? { places[tensor].map { entries[$0] } }
}

extension QuantizationPlan.Choices {
  /// All patterns with the options that gave them.
  fileprivate var patterns: [(option: String, pattern: ModulePattern)] {
    only.map { ("--only", $0) } + keep.map { ("--keep", $0) }
      + assign.map { ("--assign", $0.pattern) }
  }

  fileprivate func weightScheme(of module: ModuleSpec) -> (any Scheme, reason: String) {
    guard module.kind.isMatrix else { return (rest, module.kind.exclusion) }
    if let match = assign.last(where: { $0.pattern.matches(module.name) }) {
      return (match.scheme, "--assign \(match.pattern)=\(match.scheme.name)")
    }
    if let match = keep.first(where: { $0.matches(module.name) }) {
      return (rest, "--keep \(match)")
    }
    if !only.isEmpty {
      guard let match = only.first(where: { $0.matches(module.name) }) else {
        return (rest, "not in --only")
      }
      return (scheme, "--only \(match)")
    }
    if let reason = module.role.exclusion { return (rest, reason) }
    if let exception = scheme.exceptions.first(where: { $0.pattern.matches(module.name) }) {
      return (exception.scheme, exception.reason)
    }
    return (scheme, module.kind == .convolution ? "convolution" : "linear layer")
  }
}

extension ModuleSpec.Role {
  /// Why a module of this role is not quantized by default; `nil` when it is.
  ///
  /// These hold a thousandth of a U-Net's weights, and what they round away nothing after them
  /// can make good: every pixel passes the first and the last convolution, every block hears the
  /// time embedding. In published per-layer measurements the last convolution alone makes more
  /// than half of the noise of a 4-bit U-Net (MixDQ, arXiv 2405.17873).
  package var exclusion: String? {
    switch self {
    case .firstConvolution: "first convolution: every pixel passes it"
    case .lastConvolution: "last convolution: its error is the output's"
    case .timeEmbedding: "time embedding: every block hears it"
    default: nil
    }
  }
}

extension ModuleSpec.Kind {
  /// Why tensors of a module that is no matrix are not quantized.
  fileprivate var exclusion: String {
    switch self {
    case .groupNorm, .layerNorm: "norm: a few numbers that scale whole channels"
    case .embedding: "embedding: a table, no product"
    case .convolution, .linear: ""
    }
  }
}

/// A pattern that matches no convolution or linear layer.
package struct PlanError: Error, Equatable, CustomStringConvertible {
  package let option: String
  package let pattern: String
  /// Names that are spelled most like it.
  package let nearest: [String]

  package var description: String {
    let names = nearest.map { "'\($0)'" }.joined(separator: ", ")
    return "\(option) '\(pattern)' matches no convolution or linear layer of the model"
      + (nearest.isEmpty ? "" : "; names like it are \(names)")
  }
}

// MARK: - Shown

extension QuantizationPlan {
  /// Tensors of one scheme for one reason.
  package struct Group: Sendable, Equatable {
    package let scheme: String
    package let reason: String
    package var tensors: Int
    package var parameters: Int
    package var byteCount: Int
  }

  /// The plan in a few rows: by scheme and reason, the largest first.
  package var groups: [Group] {
    var groups: [[String]: Group] = [:]
    for entry in entries {
      let key = [entry.scheme.name, entry.reason]
      var group =
        groups[key]
        ?? Group(
          scheme: entry.scheme.name, reason: entry.reason, tensors: 0, parameters: 0, byteCount: 0)
      group.tensors += 1
      group.parameters += entry.shape.count
      group.byteCount += entry.byteCount
      groups[key] = group
    }
    return groups.values.sorted {
      ($1.parameters, $0.scheme, $0.reason) < ($0.parameters, $1.scheme, $1.reason)
    }
  }

  /// Every tensor with its scheme and the reason for it.
  package var json: JSONValue {
    .array(
      entries.map {
        [
          "tensor": .string($0.tensor), "scheme": .string($0.scheme.name),
          "reason": .string($0.reason), "bytes": .integer($0.byteCount),
        ]
      })
  }
}
