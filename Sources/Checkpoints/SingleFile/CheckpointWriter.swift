package import ModelSources
package import Support

/// Writes a model as one safetensors file in the layout of Stability's LDM and SGM code, which web UIs,
/// ComfyUI and diffusers' `from_single_file` read.
package struct CheckpointWriter: ModelWriter {
  package init() {}

  package var name: String { "checkpoint" }
  package var layout: String { "single-file checkpoint" }
  package var profiles: [any OutputProfile] { OutputProfiles.of(name) }
  package var settings: Set<Setting> { [.numbering] }
  package var holdsParts: Bool { true }

  package func claims(_ path: String) -> Bool { path.lowercased().hasSuffix(".safetensors") }
  package func outputName(stem: String) -> String { stem + ".safetensors" }

  /// - Throws: ``SingleFileError``, ``SafetensorsWriteError``, ``FileError``, what the weights'
  ///   source throws, and `CancellationError`.
  package func write(
    _ model: ModelSource, to path: String, replacing: Bool = false,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    try checkLoadable(model, to: path, options: options)
    try Self.write(
      model, for: try profile(options), to: path, replacing: replacing, options: options,
      progress: progress)
  }

  /// Writes the tensors of a model as a program reads them, with the metadata of single files.
  static func write(
    _ model: ModelSource, for profile: any OutputProfile, to path: String, replacing: Bool,
    options: WriteOptions, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    let model = profile.fitted(model)
    let sources = try profile.tensors(of: model, options: options)
    var metadata = Self.metadata(of: model)
    for (key, value) in profile.metadata(of: model, tensors: sources).members {
      metadata[key] = value.string ?? value.text()
    }
    try writeSafetensors(
      sources, metadata: metadata, to: path, replacing: replacing, progress: progress)
  }

  /// The metadata of the source file, completed by Stability's model specification
  /// (github.com/Stability-AI/ModelSpec).
  static func metadata(of model: ModelSource) -> [String: String] {
    var metadata: [String: String] = [:]
    for (key, value) in model.provenance["metadata"]?.object?.members ?? [] {
      metadata[key] = value.string ?? value.text()
    }
    metadata[CarriedConfig.key] = CarriedConfig.text(of: model)
    guard model[ComponentName.unet] != nil else { return metadata }
    // A guess is not stated as a fact, neither as a type nor by an architecture that implies one.
    guard model.prediction?.isCertain != false else {
      metadata[PredictionEvidence.metadataKey] = nil
      return metadata
    }
    let prediction = PredictionType(scheduler: model.scheduler)
    let stated = model.scheduler?[PredictionType.key]?.string ?? prediction.rawValue
    let modelSpec = Architectures.of(model.components).modelSpec
    let architecture = "modelspec.architecture"
    // The source's metadata may state another type than the scheduler's config or the user.
    metadata[PredictionEvidence.metadataKey] = prediction == .velocity ? "v" : stated
    let written = PredictionType.allCases.map { modelSpec($0) }
    if let stated = metadata[architecture], written.contains(stated) {
      metadata[architecture] = modelSpec(prediction)
    }
    let standard = ["modelspec.sai_model_spec": "1.0.0", architecture: modelSpec(prediction)]
    return metadata.merging(standard) { stated, _ in stated }
  }
}
