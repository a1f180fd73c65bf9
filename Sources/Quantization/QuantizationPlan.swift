package import Models
package import Support
package import Tensors

/// The scheme of every tensor of a component, with the reason for it.
///
/// The plan depends on names and shapes alone, so it is made before any weight is read.
/// ``sparingOutliers(in:rest:)`` then reads the weights for layers that outliers would damage.
package struct QuantizationPlan: Sendable {
  /// Changes to the default plan.
  package struct Choices: Sendable {
    /// The scheme of convolutions and linear layers.
    package var scheme: any Scheme
    package var method: any RoundingMethod
    /// The scheme of every tensor that is not quantized.
    package var rest: any Scheme
    /// Patterns of the modules to quantize; empty for all modules.
    package var only: [ModulePattern] = []
    /// Patterns of modules that are not quantized.
    package var keep: [ModulePattern] = []
    /// Schemes of the weights that a pattern matches, including modules that are not quantized by
    /// default. The last match wins.
    package var assign: [(pattern: ModulePattern, scheme: any Scheme)] = []
    /// Modules that get another scheme than ``scheme`` where no pattern decides. The first match
    /// wins.
    package var exceptions: [PlanException]
    /// Which of the most sensitive layers ``keepingSensitive(by:of:)`` stores as ``rest``; `nil` for
    /// none.
    package var sensitive: SensitiveLayers?
    /// The schemes that a budget or a plan file chose, by the names of modules, where no pattern of
    /// the user decides.
    package var chosen: [String: ChosenScheme] = [:]

    package init(
      scheme: any Scheme, method: any RoundingMethod = RoundingMethods.standard(hasMoments: false),
      rest: any Scheme = Schemes.half
    ) {
      self.scheme = scheme
      self.method = method
      self.rest = rest
      exceptions = PlanException.standard(for: scheme)
    }
  }

  /// A tensor with its scheme.
  package struct Entry: Sendable {
    package let tensor: String
    /// The module that the tensor belongs to.
    package let module: String
    package let shape: Shape
    package let scheme: any Scheme
    /// Why the tensor has this scheme, as tables show it.
    package let reason: String

    /// The pattern of ``Choices/assign`` that determined the scheme; `nil` elsewhere.
    var pattern: ModulePattern?

    /// How the output's program stores the tensor, where that differs from ``scheme``.
    var stored: TensorEntry?

    /// The name of the number type or encoding in the output.
    package var storedType: String { stored?.encoding.name ?? scheme.name }

    /// The step between two codes, relative to the root mean square of the layer's weights, where the
    /// plan chooses it.
    package var step: Double? { (scheme as? any IntegerScheme)?.grid.step }

    /// Bytes of the stored tensor.
    package var byteCount: Int { stored?.byteCount ?? scheme.encoding.byteCount(for: shape) ?? 0 }
  }

  /// In the order of the modules.
  package let entries: [Entry]
  package let method: any RoundingMethod
  /// Which layers are stored otherwise than requested, or lose weights, and why: a sentence for each.
  /// Empty for what the request determines.
  package let findings: [String]
  private let places: [String: Int]

  /// - Throws: ``PlanError`` for a pattern that matches no convolution or linear layer.
  package init(modules: [ModuleSpec], choices: Choices) throws(PlanError) {
    let matrices = modules.filter(\.kind.isMatrix).map(\.name)
    for (setting, pattern) in choices.patterns
    where !matrices.contains(where: pattern.matches) {
      throw PlanError(
        setting: setting, pattern: pattern.text, nearest: pattern.nearest(among: matrices))
    }
    let entries = modules.flatMap { module in
      var (scheme, reason, pattern) = choices.weightScheme(of: module)
      if scheme.encoding.byteCount(for: module.weight.shape) == nil {
        let length = module.weight.shape.rowLength
        let found = "\(scheme.name) has no groups for rows of \(length)"
        if let fallback = scheme.fallback,
          fallback.encoding.byteCount(for: module.weight.shape) != nil
        {
          reason += "; \(found)"
          scheme = fallback
        } else {
          reason = found
          scheme = choices.rest
          pattern = nil
        }
      }
      let weight = Entry(
        tensor: module.weight.name, module: module.name, shape: module.weight.shape,
        scheme: scheme, reason: reason, pattern: pattern)
      let bias = module.bias.map {
        Entry(
          tensor: $0.name, module: module.name, shape: $0.shape, scheme: choices.rest,
          reason: module.kind.isMatrix ? "bias" : reason)
      }
      return [weight] + (bias.map { [$0] } ?? [])
    }
    self.entries = entries
    method = choices.method
    findings = []
    places = Self.places(self.entries)
  }

  /// A plan with other entries.
  init(entries: [Entry], method: any RoundingMethod, findings: [String]) {
    self.entries = entries
    self.method = method
    self.findings = findings
    places = Self.places(entries)
  }

  private static func places(_ entries: [Entry]) -> [String: Int] {
    Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($0.element.tensor, $0.offset) })
  }

  package subscript(tensor: String) -> Entry? { places[tensor].map { entries[$0] } }
}

extension QuantizationPlan.Choices {
  /// The modules whose scheme neither a pattern of the user nor their role decides.
  package func undecided(of modules: [ModuleSpec]) -> [ModuleSpec] {
    modules.filter { module in
      guard module.kind.isMatrix, !assign.contains(where: { $0.pattern.matches(module.name) }),
        !keep.contains(where: { $0.matches(module.name) })
      else { return false }
      return only.isEmpty
        ? module.role.exclusion == nil : only.contains { $0.matches(module.name) }
    }
  }

  /// All patterns, each with the setting that it belongs to.
  fileprivate var patterns: [(setting: Setting, pattern: ModulePattern)] {
    only.map { (.only, $0) } + keep.map { (.keep, $0) } + assign.map { (.assign, $0.pattern) }
  }

  /// The scheme of a module's weights, and the pattern that assigned it.
  fileprivate func weightScheme(
    of module: ModuleSpec
  ) -> (any Scheme, reason: String, pattern: ModulePattern?) {
    guard module.kind.isMatrix else { return (rest, module.kind.exclusion, nil) }
    if let match = assign.last(where: { $0.pattern.matches(module.name) }) {
      return (match.scheme, "assigned by pattern \(match.pattern)", match.pattern)
    }
    let (scheme, reason) = unassignedScheme(ofMatrix: module)
    return (scheme, reason, nil)
  }

  /// - Parameter module: a convolution or linear layer.
  private func unassignedScheme(
    ofMatrix module: ModuleSpec
  ) -> (any Scheme, reason: String) {
    if let match = keep.first(where: { $0.matches(module.name) }) {
      return (rest, "kept by pattern \(match)")
    }
    if let chosen = chosen[module.name] { return (chosen.scheme, chosen.reason) }
    if !only.isEmpty {
      guard let match = only.first(where: { $0.matches(module.name) }) else {
        return (rest, "selected by no pattern")
      }
      return (scheme, "selected by pattern \(match)")
    }
    if let reason = module.role.exclusion { return (rest, reason) }
    if let exception = exceptions.first(where: { $0.pattern.matches(module.name) }) {
      return (exception.scheme, exception.reason)
    }
    return (scheme, module.kind == .convolution ? "convolution" : "linear layer")
  }
}

extension ModuleSpec.Role {
  /// Why modules of this role are not quantized by default; `nil` when they are.
  ///
  /// These modules hold a thousandth of a U-Net's weights, but their rounding errors reach every
  /// pixel: all data passes the first and last convolutions, and every block reads the time
  /// embedding. In MixDQ's per-layer measurements, the last convolution alone makes more than half
  /// of the noise of a 4-bit U-Net (arXiv 2405.17873).
  package var exclusion: String? {
    switch self {
    case .firstConvolution: "first convolution: its error reaches every layer"
    case .lastConvolution: "last convolution: its error goes straight to the output"
    case .timeEmbedding: "time embedding: every block reads it"
    default: nil
    }
  }
}

extension ModuleSpec.Kind {
  /// Why tensors of modules that are neither convolutions nor linear layers are not quantized.
  fileprivate var exclusion: String {
    switch self {
    case .groupNorm, .layerNorm: "norm: few weights, each scales a whole channel"
    case .embedding: "embedding: a lookup table, not a matrix product"
    case .convolution, .linear: ""
    }
  }
}

/// A pattern of a setting that matches no convolution or linear layer.
package struct PlanError: RemediableError, Equatable {
  package let setting: Setting
  package let pattern: String
  /// Names of modules with the most similar spelling.
  package let nearest: [String]

  package var description: String {
    let names = nearest.map { "'\($0)'" }.joined(separator: ", ")
    return "\(setting) pattern '\(pattern)' matches no convolution or linear layer of the model"
      + (nearest.isEmpty ? "" : "; similar names are \(names)")
  }

  package var remedy: Remedy? { .act("use a pattern that matches one, or leave it out") }
}

// MARK: - Output

extension QuantizationPlan {
  /// A row of a summary of the plan: the tensors with the same scheme, stored type and reason.
  package struct Group: Sendable, Equatable {
    package let scheme: String
    /// The name of the number type or encoding in the output: `scheme`, unless the
    /// output's program stores another.
    package let storedType: String
    package let reason: String
    package var tensors: Int
    package var parameters: Int
    package var byteCount: Int
  }

  /// The plan summarized by scheme and reason, the most parameters first.
  package var groups: [Group] {
    var groups: [[String]: Group] = [:]
    for entry in entries {
      let key = [entry.scheme.name, entry.storedType, entry.reason]
      var group =
        groups[key]
        ?? Group(
          scheme: entry.scheme.name, storedType: entry.storedType, reason: entry.reason, tensors: 0,
          parameters: 0, byteCount: 0)
      group.tensors += 1
      group.parameters += entry.shape.count
      group.byteCount += entry.byteCount
      groups[key] = group
    }
    return groups.values.sorted {
      ($1.parameters, $0.scheme, $0.reason) < ($0.parameters, $1.scheme, $1.reason)
    }
  }

  /// Every tensor with its scheme and reason, as JSON.
  package var json: JSONValue { .array(entries.map(\.json)) }
}

extension QuantizationPlan.Entry {
  /// The entry as JSON, as `Formats/plan.md` describes it.
  package var json: JSONValue {
    var object: JSONObject = [
      "tensor": .string(tensor), "scheme": .string(scheme.name),
      "stored_as": .string(storedType), "reason": .string(reason), "bytes": .integer(byteCount),
    ]
    if let step { object["step"] = .number(step) }
    return .object(object)
  }
}
