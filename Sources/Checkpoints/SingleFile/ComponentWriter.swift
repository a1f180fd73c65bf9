import ModelSources

/// Writes one component of a model as a safetensors file, under the names that ComfyUI and
/// stable-diffusion.cpp expect where they load components from files of their own.
///
/// No name has a prefix: with that of whole models, ComfyUI loads the file without an error and
/// without its weights.
struct ComponentWriter: ModelWriter {
  var name: String { "component" }
  var layout: String { "safetensors file of one component" }
  var profiles: [any OutputProfile] { OutputProfiles.of(name) }
  var holdsParts: Bool { true }

  func claims(_ path: String) -> Bool { CheckpointWriter().claims(path) }

  func outputName(stem: String) -> String { CheckpointWriter().outputName(stem: stem) }

  /// - Throws: ``OutputProfileError``, ``SingleFileError``, ``SafetensorsWriteError``, ``FileError``, what the weights'
  ///   source throws, and `CancellationError`.
  func write(
    _ model: ModelSource, to path: String, replacing: Bool = false,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    try checkLoadable(model, to: path, options: options)
    try CheckpointWriter.write(
      model, for: try profile(options), to: path, replacing: replacing, options: options,
      progress: progress)
  }
}
