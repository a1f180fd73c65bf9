private import Checkpoints
private import Formats
internal import ModelSources
private import Models
internal import Support

extension ModelSource {
  /// Replaces a component, or adds it, by that of another model. What belongs to the component comes
  /// with it: the scheduler of a U-Net, which states what the U-Net predicts, and the tokenizer of a
  /// text encoder.
  ///
  /// - Parameters:
  ///   - other: a model, or a single component.
  ///   - path: the path of `other`.
  /// - Throws: ``JobError`` where `other` lacks the component, ``DiffusersError`` for files beside a
  ///   component's folder.
  mutating func exchange(_ name: String, for other: ModelSource, at path: String) throws {
    // A single text encoder in a file can be the first or the second one.
    let isText = ComponentName.textEncoders.contains(name)
    let alone = other.components.filter { ComponentName.textEncoders.contains($0.name) }
    guard let found = other[name] ?? (isText && alone.count == 1 ? alone[0] : nil) else {
      throw JobError(
        "\(path): expected a component '\(name)', found "
          + listed(other.components.map(\.name)))
    }
    var part = ModelSource.Component(
      name: name, className: found.className, config: found.config, weights: found.weights,
      configIsDerived: found.configIsDerived)
    changes.append(
      ModelChange(
        .changed, component: name, "taken from \(shown(PathParts(path).name))", isRequested: true))
    changes += other.changes.filter { change in
      change.component == found.name || change.component == nil && other.components.count == 1
    }.map { $0.of(name) }
    if name == ComponentName.textEncoder, let removed = part.removeProjection() {
      changes.append(removed)
    }
    let own = self[name]
    if let own, part.configIsDerived { part = part.withConfig(of: own, in: path) }
    let keepsConfig = own.map { part.config == $0.config } ?? false
    self[name] = part
    components.sort { $0.name < $1.name }
    if name == ComponentName.vae, let doubt = doubtOfScaling(part, instead: own) {
      changes.append(doubt)
    }
    if name == ComponentName.unet {
      try takeScheduler(of: other, at: path)
      takeIndex(of: other)
    } else {
      if scheduler == nil, !other.schedulerIsDefault, let found = other.scheduler {
        scheduler = found
        changes.append(
          ModelChange(
            .assumed,
            "the scheduler and the prediction type are those beside the '\(name)' of "
              + "\(shown(PathParts(path).name)), because the U-Net comes without",
            remedy: .choose(.prediction, purpose: "if the U-Net predicts another type")))
      }
      if index[Self.pipelineClass] == nil, !other.indexIsDefault { index = other.index }
    }
    if let tokenizer = ComponentName.tokenizer(of: name),
      let folder = ComponentName.tokenizer(of: found.name)
    {
      try takeTokenizer(folder, as: tokenizer, of: other, at: path, keepsConfig: keepsConfig)
    }
  }

  /// A VAE whose own config states another scaling factor than the U-Net expects: that of the VAE that
  /// it replaces, else that of the architecture.
  private func doubtOfScaling(_ vae: Component, instead own: Component?) -> ModelChange? {
    let member = "scaling_factor"
    guard self[ComponentName.unet] != nil, !vae.configIsDerived,
      let stated = vae.config[member]?.number
    else { return nil }
    let expected =
      own?.config[member]?.number ?? Architectures.of(components).autoencoder.scalingFactor
    if stated == expected { return nil }
    return ModelChange(
      .assumed, component: vae.name,
      "the scaling factor is \(stated), as its own config states; the U-Net's model has \(expected)"
    )
  }

  // MARK: - What belongs to a U-Net

  /// The member of an index that names the scheduler's class.
  private static let schedulerMember = "scheduler"

  /// Uses the scheduler config beside the folder of a U-Net, where the model is that folder.
  mutating func takeSchedulerBesideFolder() throws {
    guard scheduler == nil, components.map(\.name) == [ComponentName.unet], isFolder(location)
    else { return }
    scheduler = try DiffusersFolderReader.scheduler(beside: location)
  }

  /// Uses what the model of the new U-Net states of its scheduler, or shows of its prediction type.
  private mutating func takeScheduler(of other: ModelSource, at path: String) throws {
    var stated = other.schedulerIsDefault ? nil : other.scheduler
    if stated == nil, isFolder(path), other.components.count == 1 {
      stated = try DiffusersFolderReader.scheduler(beside: path)
    }
    if let stated {
      scheduler = stated
      schedulerIsDefault = false
      predictionEvidence = nil
      index[Self.schedulerMember] = other.index[Self.schedulerMember]
      provenance[Prediction.fact] = other.provenance[Prediction.fact]
      return
    }
    guard let present = scheduler, !schedulerIsDefault else {
      // The default follows from what the new U-Net shows.
      scheduler = nil
      predictionEvidence = other.predictionEvidence
      provenance[Prediction.fact] = nil
      return
    }
    let architecture = Architectures.of(components)
    let before = PredictionType(scheduler: present)
    guard let evidence = other.predictionEvidence, evidence.shows(for: architecture) else {
      if before != .standard || architecture.predictionMark != nil
        || other.predictionEvidence?.unknownStatement != nil
      {
        let assumed = Prediction(
          before,
          reason: "taken from the model whose U-Net was replaced, because "
            + "\(shown(PathParts(path).name)) does not show it", isCertain: false)
        provenance[Prediction.fact] = assumed.json
      }
      return
    }
    let found = evidence.prediction(for: architecture)
    scheduler?[PredictionType.key] = found.type.json
    provenance[Prediction.fact] = found.json
    if evidence.endsInNoise {
      for (name, value) in Architecture.zeroTerminalSNR.members { scheduler?[name] = value }
    } else if evidence.statedPrediction != nil, scheduler?["rescale_betas_zero_snr"] == true {
      scheduler?["rescale_betas_zero_snr"] = false
    }
    if before != found.type, let size = self[ComponentName.unet]?.config["sample_size"],
      size == .integer(architecture.sampleSize(before))
    {
      self[ComponentName.unet]?.config["sample_size"] = .integer(
        architecture.sampleSize(found.type))
    }
  }

  /// Uses the pipeline class of the new U-Net's model. Where that states none, a class for the
  /// architecture's U-Nets without a mask becomes that for U-Nets with one, and the reverse.
  private mutating func takeIndex(of other: ModelSource) {
    guard index[Self.pipelineClass] != nil else {
      index = other.index
      indexIsDefault = other.indexIsDefault
      return
    }
    if indexIsDefault { return }
    if !other.indexIsDefault, other.index[Self.pipelineClass] != nil {
      for member in Self.indexMembers { index[member] = other.index[member] }
      return
    }
    let architecture = Architectures.of(components)
    let classes = [architecture.pipelineClass, architecture.inpaintingClass]
    guard let unet = self[ComponentName.unet], let own = index[Self.pipelineClass]?.string,
      classes.contains(own)
    else { return }
    index[Self.pipelineClass] = architecture.index(forUNet: unet.config)[Self.pipelineClass]
  }

  // MARK: - What belongs to a text encoder

  /// Uses the tokenizer with which the text encoder was trained. A default tokenizer replaces no other
  /// one of an encoder of the same config.
  private mutating func takeTokenizer(
    _ folder: String, as tokenizer: String, of other: ModelSource, at path: String,
    keepsConfig: Bool
  ) throws {
    var folder = folder
    var taken = other.files.filter { $0.path.hasPrefix(folder + "/") }
    if taken.isEmpty, isFolder(path) {
      // The name of the encoder's folder shows which tokenizer is its own.
      folder = ComponentName.tokenizer(of: PathParts(path).name) ?? folder
      taken = try DiffusersFolderReader.tokenizerFiles(beside: path, named: folder)
    }
    if taken.isEmpty { return }
    let own = files.filter { $0.path.hasPrefix(tokenizer + "/") }
    let isStated = own.contains { !$0.isDefault }
    if keepsConfig, isStated, taken.allSatisfy(\.isDefault) { return }
    files.removeAll { $0.path.hasPrefix(tokenizer + "/") }
    files += taken.map {
      ModelSource.File(
        path: tokenizer + $0.path.dropFirst(folder.count), bytes: $0.bytes, isDefault: $0.isDefault)
    }
    files.sort { $0.path < $1.path }
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
      name: name, className: other.className, config: other.config, weights: weights,
      configIsDerived: other.configIsDerived)
    return (try? fitting.check(in: location)) == nil ? self : fitting
  }

  /// Leaves out the projection of a first or only text encoder, whose hidden states alone are used.
  ///
  /// - Returns: the change; `nil` for a text encoder without a projection.
  fileprivate mutating func removeProjection() -> ModelChange? {
    let projection = OpenCLIPKeys.projection.diffusers
    guard className == "CLIPTextModelWithProjection", weights.entry(projection) != nil else {
      return nil
    }
    className = "CLIPTextModel"
    config["architectures"] = [.string(className)]
    weights = ReducedSource(weights, without: [projection])
    // A projection is typical of OpenCLIP's encoders, from which the activation was derived.
    if configIsDerived,
      config["hidden_size"]?.integer == Architecture.stableDiffusion1.textWidth
    {
      config["hidden_act"] = "quick_gelu"
    }
    return ModelChange(
      .leftOut, component: name, "the projection, which this text encoder does not use",
      names: [projection])
  }
}
