package import Support

extension ModelSource {
  /// The model with the pipeline class, scheduler and tokenizers that it lacks, taken from its
  /// architecture. Existing ones stay.
  package func completedWithArchitectureDefaults() -> ModelSource {
    var model = self
    let architecture = Architectures.of(components)
    for component in components {
      guard let folder = ComponentName.tokenizer(of: component.name),
        !files.contains(where: { $0.path.hasPrefix(folder + "/") })
      else { continue }
      model.files += architecture.tokenizerFiles(of: component.name)
    }
    model.files.sort { $0.path < $1.path }
    guard let unet = model[ComponentName.unet] else { return model }
    if model.index["_class_name"] == nil {
      for (name, value) in architecture.index(forUNet: unet.config).members {
        model.index[name] = value
      }
    }
    if model.scheduler == nil { model.scheduler = architecture.scheduler }
    return model
  }
}

extension Architecture {
  /// `model_index.json` of a pipeline with that U-Net: its class and what else the architecture
  /// states.
  package func index(forUNet config: JSONObject) -> JSONObject {
    let takesMask = config["in_channels"]?.integer == 9
    var members: JSONObject = [
      "_class_name": .string(takesMask ? inpaintingClass : pipelineClass)
    ]
    for (name, value) in index.members { members[name] = value }
    return members
  }
}
