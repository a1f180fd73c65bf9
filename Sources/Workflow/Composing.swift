private import Adapters
private import Checkpoints
internal import ModelSources
internal import Models
internal import Support
internal import Tensors

/// What a model is put together from, beside itself: components of others, and adapters.
package struct Composition: Sendable {
  /// Paths of models or lone components, by the component that is taken from there.
  package var parts: [(component: String, path: String)]
  /// `FILE` or `FILE:SCALE`; a folder that diffusers or PEFT saved serves as a file.
  package var adapters: [String]
  /// Whether adapters for modules that the model does not have are passed over.
  package var allowsUnused: Bool

  package init(
    parts: [(component: String, path: String)] = [], adapters: [String] = [],
    allowsUnused: Bool = false
  ) {
    self.parts = parts
    self.adapters = adapters
    self.allowsUnused = allowsUnused
  }

  /// - Parameter unet: the model that the U-Net is taken from; `nil` is the model itself, and so are
  ///   the other components.
  package init(
    unet: String?, vae: String?, textEncoder: String?, textEncoder2: String?, adapters: [String],
    allowsUnused: Bool
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

  /// Every file that is read.
  var inputs: [String] {
    parts.map(\.path) + adapters.compactMap { try? Self.request($0).path }
  }

  /// The model put together.
  ///
  /// - Parameter keepingKinds: whether merged tensors are stored as they were; else in float32, for
  ///   who narrows them next.
  func applied(
    to source: ModelSource, reading: InputOptions, keepingKinds: Bool, _ events: EventSink
  ) throws -> ModelSource {
    var model = source
    var steps: [JSONValue] = []
    for (component, path) in parts {
      try exchange(component, of: &model, for: path, reading)
      steps.append([
        "step": "exchange", "component": .string(component),
        "source": .string(lastPathComponent(path)),
      ])
    }
    // Parts that come as folders of their own bring neither tokenizer nor scheduler.
    if !parts.isEmpty { model = model.completedWithArchitectureDefaults() }
    if !adapters.isEmpty {
      let merge = try AdapterMerge(
        adapters.map(Self.request), into: model, allowingUnused: allowsUnused)
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
              + (account.unused.isEmpty ? "" : "; \(account.unused.count) not used")))
        steps.append([
          "step": "merge", "adapter": .string(lastPathComponent(account.path)),
          "scale": .number(account.scale),
          "modules": .object(JSONObject(merged.map { ($0.key, .integer($0.value)) })),
          "unused": .integer(account.unused.count),
        ])
      }
    }
    model.provenance["steps"] = .array((source.provenance["steps"]?.array ?? []) + steps)
    return model
  }

  /// Puts a component of another model in the place of the model's own, or where it had none.
  private func exchange(
    _ name: String, of model: inout ModelSource, for path: String, _ reading: InputOptions
  ) throws {
    var options = reading
    (options.variant, options.ema, options.prediction) = (nil, false, nil)
    let other = try ModelSource.reading(path, options)
    // A text encoder alone in a file is whichever of the two its kind is.
    let tokenizer = ComponentName.tokenizer(of: name)
    let alone = other.components.filter { ComponentName.textEncoders.contains($0.name) }
    guard var part = other[name] ?? (tokenizer != nil && alone.count == 1 ? alone[0] : nil) else {
      throw JobError(
        "\(path): no component '\(name)' to take, it has \(listed(other.components.map(\.name)))")
    }
    let foundAs = part.name
    part = ModelSource.Component(
      name: name, className: part.className, config: part.config, weights: part.weights)
    if let own = model[name], other.configsAreDerived {
      // A lone file says nothing of what tensors do not show, as the factor of latents: what the
      // model's own config says holds, where it fits.
      let fitting = ModelSource.Component(
        name: name, className: own.className, config: own.config, weights: part.weights)
      if (try? fitting.check(in: path)) != nil { part = fitting }
    }
    model[name] = part
    model.components.sort { $0.name < $1.name }
    if model.scheduler == nil { model.scheduler = other.scheduler }
    if model.index["_class_name"] == nil { model.index = other.index }
    if let tokenizer, let folder = ComponentName.tokenizer(of: foundAs) {
      // The tokenizer comes along: its numbers are those that the encoder was trained with.
      let files = other.files.filter { $0.path.hasPrefix(folder + "/") }
      if !files.isEmpty {
        model.files.removeAll { $0.path.hasPrefix(tokenizer + "/") }
        model.files += files.map {
          ModelSource.File(path: tokenizer + $0.path.dropFirst(folder.count), bytes: $0.bytes)
        }
        model.files.sort { $0.path < $1.path }
      }
    }
  }

  /// The path and the scale of `FILE[:SCALE]`; a path may hold colons itself.
  private static func request(_ text: String) throws -> AdapterMerge.Request {
    guard let colon = text.lastIndex(of: ":"),
      let scale = Double(text[text.index(after: colon)...])
    else { return AdapterMerge.Request(path: text, scale: 1) }
    guard scale.isFinite else {
      throw JobError("--lora \(text): the scale is \(scale), a finite number is expected")
    }
    return AdapterMerge.Request(path: String(text[..<colon]), scale: scale)
  }
}
