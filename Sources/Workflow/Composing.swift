private import Adapters
private import Checkpoints
private import Foundation
internal import ModelSources
internal import Models
internal import Support
internal import Tensors

/// An adapter to merge into a model.
package struct AdapterInput: Sendable {
  /// A file, or a folder that diffusers or PEFT saved.
  package let path: String
  package let scale: Double

  package init(path: String, scale: Double = 1) {
    self.path = path
    self.scale = scale
  }

  /// - Throws: ``JobError`` for a scale that is NaN, infinite or not a number.
  fileprivate func request() throws -> AdapterMerge.Request {
    // A path may contain colons, so that a scale that is not a number is read as part of it.
    let files = FileManager.default
    if let colon = path.lastIndex(of: ":"), !files.fileExists(atPath: path) {
      let (file, tail) = (String(path[..<colon]), String(path[path.index(after: colon)...]))
      if files.fileExists(atPath: file) {
        let decimal = tail.replacing(",", with: ".")
        throw JobError(
          "adapter '\(shown(file))': the scale '\(shown(tail))' is not a number; expected one such "
            + "as \(Double(decimal) == nil ? "0.8" : decimal)")
      }
    }
    guard scale.isFinite else {
      throw JobError("adapter '\(shown(path))': the scale is \(scale); expected a finite number")
    }
    return AdapterMerge.Request(path: path, scale: scale)
  }
}

/// Components of other models and adapters to put into a model.
package struct Composition: Sendable {
  /// Each component to replace, with the path of the model or single component to take it from.
  package var parts: [(component: String, path: String)]
  package var adapters: [AdapterInput]
  /// Whether adapters of modules that the model lacks are ignored.
  package var allowsUnused: Bool

  package init(
    parts: [(component: String, path: String)] = [], adapters: [AdapterInput] = [],
    allowsUnused: Bool = false
  ) {
    self.parts = parts
    self.adapters = adapters
    self.allowsUnused = allowsUnused
  }

  /// - Parameters:
  ///   - unet: the path of the model to take the U-Net from; `nil` keeps the model's own. The other
  ///     components likewise.
  package init(
    unet: String?, vae: String?, textEncoder: String?, textEncoder2: String?,
    adapters: [AdapterInput], allowsUnused: Bool
  ) {
    let paths = [
      (ComponentName.unet, unet), (ComponentName.vae, vae),
      (ComponentName.textEncoder, textEncoder), (ComponentName.textEncoder2, textEncoder2),
    ]
    self.init(
      parts: paths.compactMap { name, path in path.map { (name, $0) } }, adapters: adapters,
      allowsUnused: allowsUnused)
  }

  package var isEmpty: Bool { parts.isEmpty && adapters.isEmpty }

  /// The paths of all models and adapters.
  var inputs: [String] {
    parts.map(\.path) + adapters.map(\.path)
  }

  /// The model with the components replaced and the adapters merged.
  ///
  /// - Parameter keepingKinds: whether merged tensors keep their number type. They are float32
  ///   otherwise, for a job that converts them next.
  /// - Throws: ``JobError`` for a missing component or a scale, ``AdapterError``, or an error of
  ///   reading the other models.
  func applied(
    to source: ModelSource, reading: InputOptions, keepingKinds: Bool, _ events: EventSink
  ) throws -> ModelSource {
    var model = source
    var steps: [JSONValue] = []
    for (component, path) in parts {
      try exchange(component, of: &model, for: path, reading)
      steps.append([
        "step": "exchange", "component": .string(component),
        "source": .string(PathParts(path).name),
      ])
    }
    // Folders of single components hold neither tokenizers nor a scheduler config.
    if !parts.isEmpty { model = model.completedWithArchitectureDefaults() }
    if !adapters.isEmpty {
      let merge = try merge(into: model)
      for index in model.components.indices {
        model.components[index].weights = try merge.weights(
          of: model.components[index], as: keepingKinds ? nil : .f32,
          allowsNonfinite: reading.allowsNonfinite)
      }
      for account in merge.accounts {
        let merged = account.merged.sorted { $0.key < $1.key }
        let counts = merged.map { "\(counted($0.value, "module")) of \($0.key)" }.joined(
          separator: ", ")
        events(
          .note(
            "\(account.path): merged into \(counts)"
              + (account.unused.isEmpty ? "" : "; \(account.unused.count) ignored")))
        steps.append([
          "step": "merge", "adapter": .string(PathParts(account.path).name),
          "scale": .number(account.scale),
          "modules": .object(JSONObject(merged.map { ($0.key, .integer($0.value)) })),
          "unused": .integer(account.unused.count),
        ])
      }
    }
    model.provenance["steps"] = .array((source.provenance["steps"]?.array ?? []) + steps)
    return model
  }

  /// The changes of the adapters. The error for a model in place of an adapter says so.
  private func merge(into model: ModelSource) throws -> AdapterMerge {
    let requests = try adapters.map { try $0.request() }
    do {
      return try AdapterMerge(requests, into: model, allowingUnused: allowsUnused)
    } catch {
      switch error {
      case AdapterError.notAnAdapter, AdapterError.folder, LayoutError.notRecognized: break
      default: throw error
      }
      for request in requests {
        guard let names = try? Layouts.readers.read(request.path).components.map(\.name),
          !names.isEmpty
        else { continue }
        let what = names.count > 1 ? "is a whole model" : "holds the component '\(names[0])'"
        throw JobError("\(request.path): \(what), not an adapter")
      }
      throw error
    }
  }

  /// Replaces a component of the model, or adds it, from the model at `path`.
  private func exchange(
    _ name: String, of model: inout ModelSource, for path: String, _ reading: InputOptions
  ) throws {
    var options = reading
    (options.variant, options.ema, options.prediction) = (nil, false, nil)
    let other = try ModelSource.reading(path, options)
    // A single text encoder in a file can be the first or the second one.
    let tokenizer = ComponentName.tokenizer(of: name)
    let alone = other.components.filter { ComponentName.textEncoders.contains($0.name) }
    guard var part = other[name] ?? (tokenizer != nil && alone.count == 1 ? alone[0] : nil) else {
      throw JobError(
        "\(path): expected a component '\(name)', found "
          + listed(other.components.map(\.name)))
    }
    let foundAs = part.name
    part = ModelSource.Component(
      name: name, className: part.className, config: part.config, weights: part.weights)
    if let own = model[name], other.configsAreDerived {
      part = part.withConfig(of: own, in: path)
    }
    model[name] = part
    model.components.sort { $0.name < $1.name }
    if model.scheduler == nil { model.scheduler = other.scheduler }
    if model.index["_class_name"] == nil { model.index = other.index }
    if let tokenizer, let folder = ComponentName.tokenizer(of: foundAs) {
      // The encoder was trained with its own tokenizer, so the tokenizer is taken too.
      var files = other.files.filter { $0.path.hasPrefix(folder + "/") }
      if files.isEmpty, isFolder(path) {
        files = try DiffusersFolderReader.tokenizerFiles(beside: path, named: folder)
      }
      if !files.isEmpty {
        model.files.removeAll { $0.path.hasPrefix(tokenizer + "/") }
        model.files += files.map {
          ModelSource.File(path: tokenizer + $0.path.dropFirst(folder.count), bytes: $0.bytes)
        }
        model.files.sort { $0.path < $1.path }
      }
    }
  }
}

extension ModelSource.Component {
  /// The component with the config of `other` if its tensors match that config, else unchanged.
  ///
  /// Configs derived from tensors lack what tensors do not show, such as the number of heads and
  /// the latents' scaling factor.
  ///
  /// - Parameter location: the path of the component's model.
  func withConfig(of other: ModelSource.Component, in location: String) -> ModelSource.Component {
    let fitting = ModelSource.Component(
      name: name, className: other.className, config: other.config, weights: weights)
    return (try? fitting.check(in: location)) == nil ? self : fitting
  }
}
