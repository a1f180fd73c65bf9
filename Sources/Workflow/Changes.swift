internal import ModelSources
internal import Models
internal import Quantization
private import Sampling
internal import Support
internal import Tensors

/// What happens with the changes of reading a model.
enum ChangeReport {
  /// Those that a user of the model should know are noted.
  case noted
  /// They are listed in the job's result.
  case listed
  /// As ``listed``, of a description that states the prediction type itself.
  case described
  /// Only the changes of readers and of transforms are kept, for a model of which a part is used.
  case ofReaders
}

// MARK: - Reading

extension ModelSource {
  /// Adds what reading left out, added or assumed, as far as the model's facts show it.
  ///
  /// - Parameter isDescribed: whether the result states the prediction type itself.
  mutating func addChangesOfReading(isDescribed: Bool) {
    let found = [
      changeOfMovingAverage, isDescribed ? nil : changeOfPrediction, changeOfUnknownPrediction,
      changeOfUnknownScheduler, changeOfDefaults, changeOfConfigs,
    ]
    changes += found.compactMap { $0 }
  }

  private var changeOfMovingAverage: ModelChange? {
    let unet = ComponentName.unet
    switch movingAverage {
    case .ignored:
      return ModelChange(
        .leftOut, component: unet, "the moving average (EMA) of its weights",
        remedy: .choose(.ema, purpose: "to read it instead"))
    case .ignoredWithoutOthers:
      return ModelChange(
        .leftOut, component: unet,
        "the moving average (EMA) of the U-Net, the only weights of it in the file",
        remedy: .choose(.ema, purpose: "to read it"))
    case .read:
      return ModelChange(
        .leftOut, component: unet,
        "the weights of the last training step, because their moving average (EMA) is read",
        isRequested: true)
    case .readWithoutOthers:
      return ModelChange(
        .changed, component: unet,
        "the file holds only its moving average (EMA), which is read",
        isRequested: true)
    // The reader names the tensors.
    case .ignoredIncomplete, nil: return nil
    }
  }

  /// The change of a guessed prediction type, which other programs and outputs take for a fact.
  private var changeOfPrediction: ModelChange? {
    guard self[ComponentName.unet] != nil, let prediction, !prediction.isCertain else { return nil }
    return ModelChange(
      .assumed, component: ComponentName.unet,
      "predicts \(prediction.type.rawValue) (\(prediction.reason))",
      remedy: .choose(.prediction, purpose: "if it predicts another type"))
  }

  /// The change of a scheduler config with a prediction type that Decant does not have.
  private var changeOfUnknownPrediction: ModelChange? {
    guard self[ComponentName.unet] != nil, let stated = scheduler?[PredictionType.key],
      !stated.isNull, stated.string.flatMap(PredictionType.init) == nil
    else { return nil }
    return ModelChange(
      .assumed, component: ComponentName.unet,
      "predicts \(PredictionType.standard.rawValue), because the scheduler's config has the unknown "
        + "'\(PredictionType.key)' \(shown(stated.text(), limit: 40)), which stays in it",
      remedy: .choose(.prediction, predictionNames, purpose: "to replace it"))
  }

  /// The change of a scheduler config of an unknown class, which may stand for another training noise.
  private var changeOfUnknownScheduler: ModelChange? {
    guard self[ComponentName.unet] != nil, !schedulerIsDefault, let scheduler,
      let name = scheduler[Self.schedulerClass]?.string,
      !Schedulers.knowsTrainingNoise(ofClass: name)
    else { return nil }
    return ModelChange(
      .assumed, component: ComponentName.unet,
      "was trained with the noise of Stable Diffusion; the scheduler's class '\(shown(name))', which "
        + "is unknown, stays in its config",
      remedy: .act("check which scheduler the U-Net was trained with"))
  }

  /// The change of configs, scheduler and tokenizers that no input holds.
  private var changeOfDefaults: ModelChange? {
    let tokenizers = ComponentName.tokenizers.contains { folder in
      let own = files.filter { $0.path.hasPrefix(folder + "/") }
      return !own.isEmpty && own.allSatisfy(\.isDefault)
    }
    let parts = [
      (configsAreDerived, "configs"), (schedulerIsDefault, "scheduler"), (tokenizers, "tokenizers"),
    ].filter(\.0).map(\.1)
    guard !parts.isEmpty else { return nil }
    // An autoencoder alone fits more than one architecture.
    let architecture =
      self[ComponentName.unet] == nil ? "" : " of \(Architectures.of(components).name)"
    return ModelChange(.added, "\(listed(parts))\(architecture), which the input does not state")
  }

  /// The change of derived configs of components with the sizes of no published one: members that
  /// tensors do not show, whose values may be those of another model.
  private var changeOfConfigs: ModelChange? {
    guard configsAreDerived, let family = (try? Model.bind(self))?.family, family.template == nil
    else { return nil }
    let assumed = components.filter { $0.configIsDerived && !$0.hasPublishedSizes }
    if assumed.isEmpty { return nil }
    let values = assumed.map { component in
      let members = Self.membersWithoutTensors(of: component.name).compactMap { name in
        component.config[name].map { "\(name) \($0.text())" }
      }
      return "\(component.name) (\(members.joined(separator: ", ")))"
    }
    return ModelChange(
      .assumed,
      "members of configs that tensors do not show, because no published model has these sizes "
        + "(\(family.name)): \(values.joined(separator: ", "))",
      remedy: .act("use the model's diffusers folder if there is one"))
  }

  /// The members of a component's config that its tensors do not show and that differ between
  /// models.
  private static func membersWithoutTensors(of component: String) -> [String] {
    switch component {
    case ComponentName.unet: ["attention_head_dim", "norm_num_groups"]
    case ComponentName.vae: ["norm_num_groups", "scaling_factor"]
    default: ["num_attention_heads", "hidden_act"]
    }
  }

  /// Notes the changes that a user of the model should know, where no list of changes is printed.
  func noteChanges(_ events: EventSink) {
    for change in changes where change.isNotable {
      events(.note("\(location): \(change.text)", remedy: change.remedy))
    }
  }
}

extension [ModelChange] {
  /// Each change in words, with what a user can do about it: first those that the user did not ask for
  /// and that lose or assume something.
  var listed: [(text: String, remedy: Remedy?)] {
    let ordered = filter(\.isUnexpected) + filter { !$0.isUnexpected }
    return ordered.map { ($0.text, $0.remedy) }
  }
}

extension ModelChange {
  /// Whether images may be other than a user expects because of the change.
  fileprivate var isNotable: Bool {
    switch kind {
    case .changed, .assumed: true
    case .added: remedy != nil
    case .leftOut, .kept: false
    }
  }
}

// MARK: - Number types

extension ModelSource {
  /// The model in a plain number type. An autoencoder that overflows in float16 keeps its own types.
  ///
  /// - Parameter model: the bound model; `nil` for a part of a model.
  func cast(to scheme: any Scheme, of model: Model?) -> ModelSource {
    var copy = mappingWeights { component in
      keepsTypes(component.name, scheme, model)
        ? component.weights : CastingSource(component.weights, to: scheme)
    }
    copy.changes.append(
      ModelChange(.changed, "all weights become \(scheme.name)", isRequested: true))
    copy.addKeptTypes(scheme, model)
    return copy
  }

  /// Adds the changes of components that keep their number types.
  mutating func addKeptTypes(_ scheme: any Scheme, _ model: Model?) {
    for component in components where keepsTypes(component.name, scheme, model) {
      changes.append(
        ModelChange(
          .kept, component: component.name,
          "its number types, because it overflows in float16"))
    }
  }
}

/// Whether a component keeps its number types, because it overflows in that type.
func keepsTypes(_ component: String, _ scheme: any Scheme, _ model: Model?) -> Bool {
  scheme.encoding == .plain(.f16) && model?.overflowsHalf(component) == true
}

// MARK: - Writing

extension LayoutRequest {
  /// The changes of a model, followed by what the layout's program does not get as it is in the model.
  ///
  /// Reads no weights.
  func changes(of model: ModelSource, by writer: any ModelWriter) throws -> [ModelChange] {
    let profile = try writer.profile(options)
    let widened = profile.widened(model)
    let held = profile.components(heldOf: widened)
    var changes = model.changes
    let missing = model.components.map(\.name).filter { !held.contains($0) }
    if !missing.isEmpty {
      changes.append(
        ModelChange(
          .leftOut, "components that \(profile.title) loads from files of their own",
          names: missing, isRequested: options.program != nil))
    }
    for component in widened.components where held.contains(component.name) {
      guard let weights = model[component.name]?.weights else { continue }
      let plain = weights.names.filter {
        weights.entry($0)?.encoding != component.weights.entry($0)?.encoding
      }
      if !plain.isEmpty {
        changes.append(
          ModelChange(
            .changed, component: component.name,
            "quantized tensors become f16, because \(profile.title) reads them as plain numbers only",
            names: plain))
      }
      // Of the types that a program does not read, f64 alone becomes a narrower one.
      let narrowed = weights.names.filter { name in
        guard let entry = weights.entry(name), entry.encoding == .plain(.f64) else { return false }
        return profile.stored(entry).encoding != entry.encoding
      }
      if !narrowed.isEmpty {
        changes.append(
          ModelChange(
            .changed, component: component.name,
            "tensors in f64 become f32, because \(profile.title) does not read f64",
            names: narrowed))
      }
    }
    return changes
  }

  /// Refuses a model with changes that the user did not ask for, where the request is strict. Jobs
  /// call it before any long computation and before they write.
  ///
  /// - Throws: ``JobError``.
  func checkChanges(of model: ModelSource, by writer: any ModelWriter) throws {
    guard isStrict else { return }
    let unexpected = try changes(of: model, by: writer).filter(\.isUnexpected)
    guard !unexpected.isEmpty else { return }
    var remedies: [Remedy] = []
    for case let remedy? in unexpected.map(\.remedy) where !remedies.contains(remedy) {
      remedies.append(remedy)
    }
    let most = 5
    let more = unexpected.count - most
    throw JobError(
      "\(model.location): \(counted(unexpected.count, "change")) to the model "
        + "\(unexpected.count == 1 ? "was" : "were") not requested: "
        + unexpected.prefix(most).map(\.text).joined(separator: "; ")
        + (more > 0 ? "; and \(more) more" : ""),
      remedy: .either(remedies + [.leaveOut(.strict)]))
  }
}
