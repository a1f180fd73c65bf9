import Formats
import ModelSources
import Support
import Tensors

/// Tensors without a use in computations by which ComfyUI and stable-diffusion.cpp recognize what
/// an SDXL model was trained for. They do not read metadata.
enum PredictionMarkers {
  /// The tensors that mark velocity prediction and a noise schedule with zero terminal SNR; `nil`
  /// for a model that has neither, or whose architecture has another way to show it.
  ///
  /// Tensors of other names mark EDM's continuous noise (Playground 2.5, CosXL). Decant does not
  /// write those, and without them every program takes the model for another one.
  ///
  /// ComfyUI looks for the names after it removed the U-Net's prefix where it loads a U-Net alone,
  /// and drops names without the prefix; where it loads a whole model, for names without it.
  ///
  /// - Throws: ``SingleFileError`` for a U-Net whose scheduler has EDM's continuous noise.
  static func source(
    of model: ModelSource, _ architecture: Architecture
  ) throws(SingleFileError) -> MemorySource? {
    guard model[ComponentName.unet] != nil, let scheduler = model.scheduler else { return nil }
    if let name = scheduler[ModelSource.schedulerClass]?.string,
      name.hasPrefix(SingleFileFacts.continuousSchedulers)
    {
      throw .unsupported(
        path: model.location,
        found: "the scheduler is '\(shown(name))', and a single file would not show that the model "
          + "was trained with EDM's continuous noise")
    }
    guard architecture.hasAddedEmbedding else { return nil }
    var names: [String] = []
    if PredictionType(scheduler: scheduler) == .velocity {
      names.append(SingleFileFacts.velocityMarker)
    }
    if scheduler["rescale_betas_zero_snr"] == true {
      names.append(SingleFileFacts.zeroTerminalMarker)
    }
    guard !names.isEmpty else { return nil }
    let prefix = model.components.count == 1 ? LDMKeys.unet : ""
    // ComfyUI-GGUF does not load tensors of rank 0, nor ggml all tensors without numbers.
    let tensor = StoredTensor(shape: [1], floats: [1])
    return MemorySource(location: model.location, names.map { (prefix + $0, tensor) })
  }
}
