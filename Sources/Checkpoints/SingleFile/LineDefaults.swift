package import Tensors

extension ModelSource {
  /// The model with what its components do not bring, as its line of models has it: pipeline,
  /// scheduler and tokenizers. What is there already stays.
  package func completedByItsLine() throws -> ModelSource {
    var model = self
    let line = SingleFileLines.of(components)
    for component in components {
      let folder = ModelSource.tokenizerFolder(of: component.name)
      if files.contains(where: { $0.path.hasPrefix(folder + "/") }) { continue }
      model.files += (line.tokenizers[component.name] ?? []).map { file, text in
        ModelSource.File(path: "\(folder)/\(file)", bytes: ByteSlice([UInt8](text.utf8)))
      }
    }
    model.files.sort { $0.path < $1.path }
    guard let unet = model["unet"] else { return model }
    if model.index["_class_name"] == nil {
      let takesMask = unet.config["in_channels"]?.integer == 9
      model.index["_class_name"] = .string(takesMask ? line.inpaintingClass : line.pipelineClass)
      for (name, value) in line.index.members { model.index[name] = value }
    }
    if model.scheduler == nil { model.scheduler = try JSONValue(parsing: line.scheduler).object }
    return model
  }
}
