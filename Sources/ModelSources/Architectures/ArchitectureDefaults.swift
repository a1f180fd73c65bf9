package import Support

extension ModelSource {
  /// The model with everything that follows from its architecture and that no input states: the
  /// pipeline class, the scheduler with the U-Net's prediction type, tokenizers, and members of
  /// configs that were derived from tensors. What an input states stays.
  ///
  /// These facts depend on all components: the same tensors of an autoencoder belong to latents of
  /// another scale beside a U-Net of SDXL. So the function is called again after components were
  /// added or exchanged, and replaces the defaults that it set before.
  package func completedWithArchitectureDefaults() -> ModelSource {
    var model = self
    let architecture = Architectures.of(components)
    model.setTokenizers(of: architecture)
    model.setAutoencoder(of: architecture)
    guard let unet = model[ComponentName.unet] else { return model }
    if model.index[Self.pipelineClass] == nil || model.indexIsDefault {
      for key in Self.indexMembers { model.index[key] = nil }
      for (name, value) in architecture.index(forUNet: unet.config).members {
        model.index[name] = value
      }
      model.indexIsDefault = true
    }
    if model.scheduler == nil || model.schedulerIsDefault {
      model.setDefaultScheduler(of: architecture, unet: unet.config)
    }
    if unet.configIsDerived { model.setUNet(of: architecture) }
    return model
  }

  /// The member of an index that names the pipeline's class.
  package static let pipelineClass = "_class_name"
  /// The member of a scheduler config that names the scheduler's class.
  package static let schedulerClass = "_class_name"

  /// The members of an index that depend on the U-Net and the architecture.
  package static let indexMembers =
    [pipelineClass] + Set(Architectures.all.flatMap(\.index.keys)).sorted()

  private mutating func setTokenizers(of architecture: Architecture) {
    for component in components {
      guard let folder = ComponentName.tokenizer(of: component.name) else { continue }
      let own = files.filter { $0.path.hasPrefix(folder + "/") }
      guard own.allSatisfy(\.isDefault) else { continue }
      let standard = architecture.tokenizerFiles(of: component.name)
      // A built-in vocabulary stays.
      let replaced = Set(standard.map(\.path))
      files = files.filter { !replaced.contains($0.path) } + standard
    }
    files.sort { $0.path < $1.path }
  }

  private mutating func setAutoencoder(of architecture: Architecture) {
    guard var vae = self[ComponentName.vae], vae.configIsDerived else { return }
    let facts = architecture.autoencoder.config
    for name in Architecture.Autoencoder.members { vae.config[name] = facts[name] }
    self[ComponentName.vae] = vae
  }

  private mutating func setDefaultScheduler(
    of architecture: Architecture, unet config: JSONObject
  ) {
    let prediction =
      predictionEvidence?.prediction(for: architecture)
      ?? .assumed(for: architecture, unet: config)
    var standard = architecture.scheduler
    standard[PredictionType.key] = prediction.type.json
    if predictionEvidence?.endsInNoise == true {
      for (name, value) in Architecture.zeroTerminalSNR.members { standard[name] = value }
    }
    scheduler = standard
    schedulerIsDefault = true
    provenance[Prediction.fact] = prediction.json
  }

  /// Sets the members of a derived U-Net config that other components and the scheduler determine.
  private mutating func setUNet(of architecture: Architecture) {
    guard var unet = self[ComponentName.unet] else { return }
    let type = PredictionType(scheduler: scheduler)
    unet.config["sample_size"] = .integer(architecture.sampleSize(type))
    // The added embedding takes the pooled text, then the sinusoids of each time id.
    if let timeIDs = architecture.timeIDs,
      let inputs = unet.config["projection_class_embeddings_input_dim"]?.integer,
      let pooled = self[ComponentName.textEncoder2]?.config["projection_dim"]?.integer
    {
      let width = (inputs - pooled) / timeIDs.count
      if width > 0, width % 2 == 0, width * timeIDs.count == inputs - pooled {
        unet.config["addition_time_embed_dim"] = .integer(width)
      }
    }
    self[ComponentName.unet] = unet
  }
}

extension Architecture {
  /// `model_index.json` of a pipeline with that U-Net: its class and what else the architecture
  /// states.
  package func index(forUNet config: JSONObject) -> JSONObject {
    let takesMask = config["in_channels"]?.integer == 9
    var members: JSONObject = [
      ModelSource.pipelineClass: .string(takesMask ? inpaintingClass : pipelineClass)
    ]
    for (name, value) in index.members { members[name] = value }
    return members
  }

  /// Members of a scheduler config for a model that was trained with a noise schedule that ends in
  /// pure noise. The first timestep must then be the last one of training.
  package static let zeroTerminalSNR: JSONObject = [
    "rescale_betas_zero_snr": true, "timestep_spacing": "trailing",
  ]
}

extension Architecture.Autoencoder {
  /// The members that ``config`` may have.
  fileprivate static let members = ["scaling_factor", "force_upcast"]
}
