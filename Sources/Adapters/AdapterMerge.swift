private import Checkpoints
private import Formats
package import ModelSources
internal import Models
internal import Support
package import Tensors

/// The changes that adapter files make to the tensors of a model.
package struct AdapterMerge: Sendable {
  /// An adapter file and its scale.
  package struct Request: Sendable, Equatable {
    package let path: String
    package let scale: Double

    package init(path: String, scale: Double) {
      self.path = path
      self.scale = scale
    }
  }

  /// The result for one file.
  package struct Account: Sendable, Equatable {
    package let path: String
    package let scale: Double
    /// The number of changed modules, by component.
    package let merged: [String: Int]
    /// Modules and biases that the model does not have, and tensors that belong to no adapter.
    package let unused: [String]
  }

  private struct Change: Sendable {
    let file: AdapterFile
    let key: String
    let module: AdapterFile.Module
    let kind: any AdapterKind
    let scale: Float
  }

  package let accounts: [Account]
  /// The changes by component and module.
  private let changes: [String: [String: [Change]]]

  /// - Parameters:
  ///   - requests: adapter files, or folders that hold one.
  ///   - allowingUnused: whether to ignore modules that the model does not have.
  /// - Throws: ``AdapterError``, errors of the files' readers, or `CancellationError`.
  package init(
    _ requests: [Request], into model: ModelSource, allowingUnused: Bool = false
  ) throws {
    let table = try Self.table(of: model)
    var changes: [String: [String: [Change]]] = [:]
    var accounts: [Account] = []
    for request in requests {
      let file = try AdapterFile(request.path)
      // Kinds that Decant does not merge have tensors that the others do not have.
      for (key, module) in file.modules {
        if let (part, kind) = AdapterKeys.unmerged.first(where: { module.has($0.part) }) {
          throw AdapterError.unsupported(
            path: file.path, kind: kind, tensor: module.parts[part] ?? key)
        }
        if let refusal = file.settings?.refusal(of: key, kinds: AdapterKinds.of(module)) {
          throw refusal
        }
      }
      guard file.unknownTensors.isEmpty || allowingUnused else {
        throw AdapterError.unknownTensors(path: file.path, tensors: file.unknownTensors)
      }
      var unused: [String] = []
      var biases: [String] = []
      var merged: [String: Int] = [:]
      for (key, module) in file.modules {
        try Cancellation.check()
        guard let place = table[key] else {
          unused.append(key)
          continue
        }
        let kinds = AdapterKinds.of(module)
        guard let kind = kinds.first else {
          throw AdapterError.incomplete(
            path: file.path, module: key, tensors: module.parts.values.sorted(),
            kinds: AdapterKinds.all.map(\.name))
        }
        if kinds.count > 1 {
          throw AdapterError.unsupported(
            path: file.path, kind: "two kinds in one module", tensor: key)
        }
        let weights = model[place.component]?.weights
        if let shape = weights?.entry(place.module + ".weight")?.shape {
          try kind.check(module, key: key, against: shape, in: file)
          try file.checkAlpha(module)
          if let bias = kind.bias(module) {
            _ = try file.extents(bias, rows: shape.rows, row: [])
            if weights?.entry(place.module + ".bias") == nil { biases.append(bias) }
          }
        }
        changes[place.component, default: [:]][place.module, default: []].append(
          Change(
            file: file, key: key, module: module, kind: kind, scale: Float(request.scale)))
        merged[place.component, default: 0] += 1
      }
      guard unused.isEmpty || allowingUnused, !merged.isEmpty else {
        throw AdapterError.unused(path: file.path, model: model.location, modules: unused)
      }
      guard biases.isEmpty || allowingUnused else {
        throw AdapterError.biases(path: file.path, model: model.location, tensors: biases)
      }
      accounts.append(
        Account(
          path: request.path, scale: request.scale, merged: merged,
          unused: unused + biases + file.unknownTensors))
    }
    self.changes = changes
    self.accounts = accounts
  }

  /// The modules of the model by every name that a file may use for them.
  private static func table(
    of model: ModelSource
  ) throws -> [String: (component: String, module: String)] {
    var table: [String: (component: String, module: String)] = [:]
    let encoders = model.components.filter { ComponentName.textEncoders.contains($0.name) }.count
    for component in model.components where component.name != ComponentName.vae {
      let modules = (try component.modules(in: model.location) ?? []).filter(\.kind.isMatrix)
      let ldm =
        component.name == ComponentName.unet
        ? LDMModules.names(of: component.config, modules: modules.map(\.name)) : [:]
      for module in modules {
        for naming in AdapterNamings.all {
          let keys = naming.keys(
            module.name, component: component.name, isAlone: encoders == 1,
            ldmName: ldm[module.name])
          for key in keys where table[key] == nil {
            table[key] = (component.name, module.name)
          }
        }
      }
    }
    return table
  }

  /// The component's weights with all changes added in float32.
  ///
  /// - Parameters:
  ///   - kind: the element kind of changed tensors; `nil` keeps that of the model.
  ///   - allowsNonfinite: whether sums may be infinite in that kind.
  package func weights(
    of component: ModelSource.Component, as kind: ElementKind?, allowsNonfinite: Bool = false
  ) throws(AdapterError) -> any WeightSource {
    guard let changes = changes[component.name] else { return component.weights }
    for name in changes.keys {
      let weight = name + ".weight"
      if let entry = component.weights.entry(weight), entry.encoding.isQuantized {
        throw .quantized(
          path: component.weights.location, tensor: weight, encoding: entry.encoding.name)
      }
    }
    return MergedSource(
      base: component.weights, changes: changes, kind: kind, allowsNonfinite: allowsNonfinite)
  }

  /// A source that adds changes to the tensors of another.
  private struct MergedSource: WeightSource {
    let base: any WeightSource
    let changes: [String: [Change]]
    let kind: ElementKind?
    let allowsNonfinite: Bool
    /// Names the model and the adapter files, because both may cause errors in a sum.
    let location: String

    init(
      base: any WeightSource, changes: [String: [Change]], kind: ElementKind?, allowsNonfinite: Bool
    ) {
      self.base = base
      self.changes = changes
      self.kind = kind
      self.allowsNonfinite = allowsNonfinite
      let files = Set(changes.values.joined().map(\.file.path)).sorted()
      location = "\(base.location) with \(listed(files)) merged"
    }

    var names: [String] { base.names }

    /// The changes of a tensor, and whether the tensor is a bias.
    private func changes(of name: String) -> (changes: [Change], isBias: Bool)? {
      if name.hasSuffix(".weight"), let found = changes[String(name.dropLast(7))] {
        return (found, false)
      }
      guard name.hasSuffix(".bias"), let found = changes[String(name.dropLast(5))] else {
        return nil
      }
      let biases = found.filter { $0.kind.bias($0.module) != nil }
      return biases.isEmpty ? nil : (biases, true)
    }

    private func kind(of entry: TensorEntry) -> ElementKind {
      if case .plain(let own) = entry.encoding { return kind ?? own }
      return kind ?? .f32
    }

    func entry(_ name: String) -> TensorEntry? {
      guard let entry = base.entry(name), changes(of: name) != nil else { return base.entry(name) }
      return TensorEntry(shape: entry.shape, encoding: .plain(kind(of: entry)))
    }

    func tensor(_ name: String) throws -> StoredTensor {
      let stored = try base.tensor(name)
      guard let (changes, isBias) = changes(of: name) else { return stored }
      var values = stored.floats()
      for change in changes {
        try Cancellation.check()
        let delta =
          isBias
          ? try change.kind.biasDelta(
            change.module, key: change.key, count: stored.shape.rows, in: change.file)
          : try change.kind.delta(
            change.module, key: change.key, of: stored.shape, in: change.file)
        for index in values.indices { values[index] += change.scale * delta[index] }
      }
      let kind = kind(of: stored.entry)
      let merged = StoredTensor(shape: stored.shape, floats: values, as: kind)
      if !allowsNonfinite, merged.hasNonfinite, !stored.hasNonfinite {
        throw AdapterError.overflow(
          paths: changes.map(\.file.path), tensor: name, largest: values.map(abs).max() ?? 0,
          kind: TensorEncoding.plain(kind).name)
      }
      return merged
    }
  }
}
