package import ModelSources
internal import Support

extension ModelSource {
  /// The model with what its components do not bring, as its line of models has it: pipeline,
  /// scheduler and tokenizers. What is there already stays.
  package func completedByItsArchitecture() throws -> ModelSource {
    var model = self
    let line = SingleFileLines.of(components)
    for component in components {
      guard let folder = ComponentName.tokenizer(of: component.name),
        !files.contains(where: { $0.path.hasPrefix(folder + "/") })
      else { continue }
      model.files += line.tokenizerFiles(of: component.name)
    }
    model.files.sort { $0.path < $1.path }
    guard let unet = model[ComponentName.unet] else { return model }
    if model.index["_class_name"] == nil {
      let takesMask = unet.config["in_channels"]?.integer == 9
      model.index["_class_name"] = .string(takesMask ? line.inpaintingClass : line.pipelineClass)
      for (name, value) in line.index.members { model.index[name] = value }
    }
    if model.scheduler == nil { model.scheduler = try JSONValue(parsing: line.scheduler).object }
    return model
  }
}
