private import Formats
package import ModelSources
internal import Support
internal import Tensors

/// A component's tensors compared with its module tree.
struct TensorComparison {
  /// The tensors that prevent the use of the component.
  let faults: ComponentFaults
  /// The names of tensors that the component does not use and can do without.
  let unused: [String]

  /// Compares names, shapes and encodings. Reads no tensors.
  ///
  /// A tensor that the module tree does not have is a fault in three cases. Otherwise it is unused.
  /// - It belongs to a layer of the tree, such as `X.weight_scale` beside `X.weight`, or is a low-rank
  ///   adapter. The layer is then stored in an unknown form.
  /// - It has a name that other components of this kind have, such as one of a further resnet. The
  ///   config is then that of another model.
  /// - A tensor of the tree is missing. The two may be the same tensor under different names.
  ///
  /// - Parameter configIsDerived: whether the component's config was derived from tensors.
  init(_ component: Model.Component, configIsDerived: Bool) {
    let weights = component.weights
    var faults = ComponentFaults(component: component.name, configIsDerived: configIsDerived)
    var expected: Set<String> = []
    var layers: Set<String> = []
    for tensor in component.modules.tensors {
      expected.insert(tensor.name)
      if let dot = tensor.name.lastIndex(of: ".") { layers.insert(String(tensor.name[..<dot])) }
      guard let entry = weights.entry(tensor.name) else {
        faults.missing.append(
          .init(
            name: tensor.name, storedName: weights.storedName(tensor.name), shape: tensor.shape))
        continue
      }
      if entry.shape != tensor.shape {
        faults.misshapen.append(
          .init(
            name: tensor.name, storedName: weights.storedName(tensor.name), found: entry.shape,
            expected: tensor.shape))
      } else if !(entry.encoding.isFloatingPoint && entry.encoding.isWidenable) {
        faults.unusable.append(.init(name: tensor.name, encoding: entry.encoding.name))
      }
    }
    var unused: [String] = []
    for name in weights.names where !expected.contains(name) {
      let shape = weights.entry(name)?.shape ?? []
      if let layer = Self.layer(changedBy: name, among: layers) {
        faults.unknownForms.append(
          .init(name: weights.storedName(name), shape: shape, layer: layer))
      } else if !faults.missing.isEmpty
        || Self.patterns[component.name]?.contains(Self.pattern(name)) == true
      {
        faults.unexpected.append(TensorSpec(name: name, shape: shape))
      } else {
        unused.append(name)
      }
    }
    self.faults = faults
    self.unused = unused
  }

  /// The layer whose computation a tensor without a place in the tree changes; `nil` for others.
  private static func layer(changedBy name: String, among layers: Set<String>) -> String? {
    var end = name.lastIndex(of: ".")
    while let dot = end {
      let layer = String(name[..<dot])
      if layers.contains(layer) { return layer }
      end = name[..<dot].lastIndex(of: ".")
    }
    let ending = AdapterKeys.endings.first { name.hasSuffix($0.ending) }?.ending
    return ending.map { String(name.dropLast($0.count)) }
  }

  /// The patterns of the tensors that each component has in some published model.
  private static let patterns: [String: Set<String>] = {
    var patterns: [String: Set<String>] = [:]
    for family in Family.all {
      guard let configs = try? family.template?.configs(location: family.name) else { continue }
      for component in ModelConfigs.componentNames {
        patterns[component, default: []].formUnion(
          configs.modules(of: component).tensors.map { pattern($0.name) })
      }
    }
    return patterns
  }()

  /// A name with `N` for each number: `down_blocks.N.resnets.N.conv1.weight`.
  private static func pattern(_ name: String) -> String {
    name.split(separator: ".", omittingEmptySubsequences: false)
      .map { Int($0) == nil ? $0 : "N" }.joined(separator: ".")
  }
}

extension ModelSource {
  /// The model without tensors that its components do not use, which ``changes`` then lists.
  ///
  /// Components with a fault stay as they are, so that messages name everything that was found.
  /// Reads no tensors.
  package func withoutUnusedTensors() -> ModelSource {
    var copy = self
    for index in components.indices {
      let component = components[index]
      guard let modules = try? component.modules(in: location) else { continue }
      let comparison = TensorComparison(
        Model.Component(name: component.name, modules: modules, weights: component.weights),
        configIsDerived: component.configIsDerived)
      guard comparison.faults.isEmpty, !comparison.unused.isEmpty else { continue }
      copy.components[index].weights = ReducedSource(
        component.weights, without: Set(comparison.unused))
      copy.changes.append(
        ModelChange(
          .leftOut, component: component.name,
          "\(counted(comparison.unused.count, "tensor")) that it does not use",
          names: comparison.unused.map(component.weights.storedName)))
    }
    return copy
  }
}
