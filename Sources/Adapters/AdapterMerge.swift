internal import Checkpoints
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
    /// The number of changed modules, by kind of adapter.
    package let kinds: [String: Int]
    /// Modules and biases that the model does not have, and tensors that belong to no adapter.
    package let unused: [String]
    /// Modules without an alpha, whose product is added as it is.
    package let withoutAlpha: [String]
    /// What was removed from names of the file: `base_model.model.`, `_orig_mod`.
    package let wrappers: [String]

    /// What merging the file changes in the model, for its list of changes.
    package var changes: [ModelChange] {
      let file = shown(PathParts(path).name)
      let names = listed(kinds.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key))
      var changes = merged.sorted { $0.key < $1.key }.map { component, count in
        ModelChange(
          .changed, component: component,
          "\(names) of \(file) merged into \(counted(count, "module")), scale \(scale)",
          isRequested: true)
      }
      if !wrappers.isEmpty {
        changes.append(NameWrappers.change(removed: wrappers, fromAdapter: file))
      }
      if !unused.isEmpty {
        changes.append(
          ModelChange(
            .leftOut,
            "\(unused.count) \(unused.count == 1 ? "module or tensor" : "modules or tensors") of "
              + "\(file) that the model does not have", names: unused,
            isRequested: true))
      }
      if !withoutAlpha.isEmpty {
        changes.append(
          ModelChange(
            .assumed,
            "alpha equals the rank in \(counted(withoutAlpha.count, "module")) of "
              + "\(file), which states no alpha", names: withoutAlpha, isRequested: true))
      }
      return changes
    }
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
    let targets = try AdapterTargets(of: model)
    var changes: [String: [String: [Change]]] = [:]
    var accounts: [Account] = []
    for request in requests {
      let file = try AdapterFile(request.path)
      try file.checkKinds()
      guard file.unknownTensors.isEmpty || allowingUnused else {
        throw AdapterError.unknownTensors(path: file.path, tensors: file.unknownTensors)
      }
      let placed = try Self.placed(file, targets)
      let fitted: Fitted
      do {
        fitted = try Self.fitted(placed, of: file, in: model, scale: Float(request.scale))
        guard placed.unused.isEmpty || allowingUnused, !fitted.changes.isEmpty else {
          throw AdapterError.unused(
            path: file.path, model: model.location, modules: placed.unused)
        }
      } catch let error as AdapterError {
        throw try Self.explained(error, file, targets, model)
      }
      guard fitted.biases.isEmpty || allowingUnused else {
        throw AdapterError.biases(
          path: file.path, model: model.location, tensors: fitted.biases)
      }
      var merged: [String: Int] = [:]
      var kinds: [String: Int] = [:]
      for (place, change) in fitted.changes {
        changes[place.component, default: [:]][place.module, default: []].append(change)
        merged[place.component, default: 0] += 1
        kinds[change.kind.name, default: 0] += 1
      }
      accounts.append(
        Account(
          path: request.path, scale: request.scale, merged: merged, kinds: kinds,
          unused: placed.unused + fitted.biases + file.unknownTensors,
          withoutAlpha: try fitted.changes.map(\.change).filter {
            try $0.kind.takesAlpha && !file.hasFactor($0.module)
          }.map(\.key), wrappers: file.wrappers))
    }
    self.changes = changes
    self.accounts = accounts
  }

  // MARK: - Checks before weights are read

  /// The modules of a file by their places in the model, in the order of the file.
  private struct Placed {
    var modules: [(place: AdapterTargets.Place, key: String, module: AdapterFile.Module)] = []
    /// Names of modules that the model does not have.
    var unused: [String] = []
  }

  private struct Fitted {
    var changes: [(place: AdapterTargets.Place, change: Change)] = []
    /// Tensors for biases that the model does not have.
    var biases: [String] = []
  }

  /// Looks up the modules of a file. Tensors of one module under several names are one module.
  private static func placed(
    _ file: AdapterFile, _ targets: AdapterTargets
  ) throws -> Placed {
    var placed = Placed()
    var indices: [AdapterTargets.Place: Int] = [:]
    for (key, module) in file.modules {
      try Cancellation.check()
      guard let place = targets.place(of: module.name) else {
        placed.unused.append(key)
        continue
      }
      guard let index = indices[place] else {
        indices[place] = placed.modules.count
        placed.modules.append((place, key, module))
        continue
      }
      for (part, tensor) in module.parts {
        if let other = placed.modules[index].module.parts.updateValue(tensor, forKey: part) {
          throw AdapterError.ambiguous(
            path: file.path, module: place.module, names: [other, tensor])
        }
      }
    }
    return placed
  }

  /// Checks the kinds and shapes of modules against the weights of the model.
  private static func fitted(
    _ placed: Placed, of file: AdapterFile, in model: ModelSource, scale: Float
  ) throws -> Fitted {
    var fitted = Fitted()
    for (place, key, module) in placed.modules {
      try Cancellation.check()
      let kind = try AdapterKinds.merging(module, key: key, in: file)
      let weights = model[place.component]?.weights
      if let shape = weights?.entry(place.module + ".weight")?.shape {
        try kind.check(module, key: key, against: shape, in: file)
        try file.checkAlpha(module)
        if let bias = kind.bias(module) {
          _ = try file.extents(bias, rows: shape.rows, row: [])
          if weights?.entry(place.module + ".bias") == nil { fitted.biases.append(bias) }
        }
      }
      fitted.changes.append(
        (place, Change(file: file, key: key, module: module, kind: kind, scale: scale)))
    }
    return fitted
  }

  /// The error for an adapter that does not fit the model: names the model that it was made for,
  /// where its modules tell.
  private static func explained(
    _ error: AdapterError, _ file: AdapterFile, _ targets: AdapterTargets, _ model: ModelSource
  ) throws -> AdapterError {
    let difference: AdapterError.Difference
    switch error {
    case .unused(_, _, let modules): difference = .absent(modules: modules)
    case .misshapen(_, let tensor, let found, let expected):
      difference = .shape(tensor: tensor, found: found, expected: expected)
    default: return error
    }
    let own = AdapterOrigin.count(of: file, fitting: targets)
    let families = try AdapterOrigin.families(of: file, exceeding: own)
    if !families.isEmpty {
      return .otherFamily(
        path: file.path, families: families.map(\.title), model: model.location,
        title: AdapterOrigin.title(of: model), fitting: own, modules: file.modules.count,
        difference: difference)
    }
    guard case .unused(let path, let location, let modules) = error, own == 0,
      let kind = AdapterOrigin.foreignKind(of: modules)
    else { return error }
    return .foreign(path: path, kind: kind, model: location, modules: modules)
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
    func storedName(_ name: String) -> String { base.storedName(name) }

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
      let own = Tensor(shape: stored.shape, values: stored.floats())
      var values = own.values
      for change in changes {
        try Cancellation.check()
        let delta =
          isBias
          ? try change.kind.biasDelta(
            change.module, key: change.key, count: stored.shape.rows, in: change.file)
          : try change.kind.delta(
            change.module, key: change.key, of: own, in: change.file)
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
