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
    to source: ModelSource, reading: InputOptions, keepingKinds: Bool
  ) throws -> ModelSource {
    var model = source
    var steps: [JSONValue] = []
    if !parts.isEmpty { try model.takeSchedulerBesideFolder() }
    for (component, path) in parts {
      let other = try Self.model(path, reading)
      try model.exchange(component, for: other, at: path)
      steps.append([
        "step": "exchange", "component": .string(component),
        "source": .string(PathParts(path).name),
      ])
    }
    // What a part showed alone may mean something else in the whole.
    if !parts.isEmpty { model = model.completedWithArchitectureDefaults() }
    if !adapters.isEmpty {
      let merge = try merge(into: model)
      for index in model.components.indices {
        model.components[index].weights = try merge.weights(
          of: model.components[index], as: keepingKinds ? nil : .f32,
          allowsNonfinite: reading.allowsNonfinite)
      }
      for account in merge.accounts {
        model.changes += account.changes
        let merged = account.merged.sorted { $0.key < $1.key }
        steps.append([
          "step": .string(ModelSource.mergeStep),
          "adapter": .string(PathParts(account.path).name),
          "scale": .number(account.scale),
          "modules": .object(JSONObject(merged.map { ($0.key, .integer($0.value)) })),
          "unused": .integer(account.unused.count),
        ])
      }
    }
    let earlier = source.provenance[ModelSource.stepsFact]?.array ?? []
    model.provenance[ModelSource.stepsFact] = .array(earlier + steps)
    return model
  }

  /// The model from which a component is taken. Choices of how to read a model are those of the model
  /// that the component is put into.
  private static func model(_ path: String, _ reading: InputOptions) throws -> ModelSource {
    var options = reading
    (options.variant, options.ema, options.prediction) = (nil, false, nil)
    return try ModelSource.reading(path, options, changes: .ofReaders)
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
        guard names.count == 1 else {
          throw JobError(
            "\(request.path): is a whole model, not an adapter",
            remedy: .act("use it as the model, or name a file of LoRA or another adapter"))
        }
        throw JobError(
          "\(request.path): holds the component '\(names[0])', not an adapter",
          remedy: ComponentName.setting(of: names[0]).map {
            .choose($0, purpose: "to put it into the model")
          })
      }
      throw error
    }
  }
}
