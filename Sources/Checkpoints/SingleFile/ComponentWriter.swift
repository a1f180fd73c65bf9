import Formats
import ModelSources
import Tensors

/// Writes one component of a model as a safetensors file, under the names that ComfyUI and
/// stable-diffusion.cpp expect where they load components from files of their own.
///
/// No name has a prefix: with that of whole models, ComfyUI loads the file without an error and
/// without its weights.
struct ComponentWriter: ModelWriter {
  var name: String { "component" }
  var layout: String { "safetensors file of one component" }
  var profiles: [any OutputProfile] { [ComponentProfile()] }
  var holdsParts: Bool { true }

  func claims(_ path: String) -> Bool { CheckpointWriter().claims(path) }

  func outputName(stem: String) -> String { CheckpointWriter().outputName(stem: stem) }

  /// - Throws: ``SingleFileError``, ``SafetensorsWriteError``, ``FileError``, what the weights'
  ///   source throws, and `CancellationError`.
  func write(
    _ model: ModelSource, to path: String, replacing: Bool = false,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    try CheckpointWriter.write(
      model, for: ComponentProfile(), to: path, replacing: replacing, options: options,
      progress: progress)
  }
}

/// Programs that load each component from a file of its own: ComfyUI's "Load CLIP", "Load VAE" and
/// "Load Diffusion Model", and stable-diffusion.cpp's options for components.
private struct ComponentProfile: OutputProfile {
  var name: String { "component" }
  var title: String { "programs that load single components" }
  var container: String { ComponentWriter().name }

  /// stable-diffusion.cpp does not recognize the version of a U-Net in a file of its own.
  func notes(_ model: ModelSource) -> [String] {
    ComfyUIFacts.notes(model) + model.guidanceNotes(for: ["ComfyUI"])
  }

  /// U-Nets and autoencoders have LDM names. All text encoders have transformers' names, also those
  /// of OpenCLIP, whose projection is then not transposed.
  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try model.components.flatMap { component -> [any WeightSource] in
      if ComponentName.textEncoders.contains(component.name) {
        let names = component.weights.names.filter { !$0.hasSuffix(SingleFileKeys.positionIDs) }
        return [
          try MappedSource(
            component.weights,
            names.map { name in
              (name, .tensor(name, shape: component.weights.entry(name)?.shape ?? []))
            })
        ]
      }
      var alone = model
      alone.components = [component]
      let prefix = component.name == ComponentName.unet ? LDMKeys.unet : LDMKeys.autoencoder
      return try LDMNames.sources(of: alone, numbering: .dense).map {
        UnprefixedSource($0, prefix: prefix)
      }
    }
  }
}
