import ModelSources
import Support

/// What holds for every file that ComfyUI reads, by its own loaders and by those of other nodes.
enum ComfyUIFacts {
  /// ComfyUI unloads components when memory is scarce, and decodes in tiles of 64 latent pixels when
  /// the image does not fit.
  static let memory = ProgramMemory(
    activationBytes: 2, residency: .oneAfterAnother, decoderTile: 512)

  /// U-Nets with an added embedding: transformer blocks after each resnet of the down blocks.
  private static let known: [(model: String, depths: [Int])] = [
    ("SDXL", [0, 0, 2, 2, 10, 10]), ("SDXL's refiner", [0, 0, 4, 4, 4, 4, 0, 0]),
    ("SSD-1B", [0, 0, 2, 2, 4, 4]), ("Vega", [0, 0, 1, 1, 2, 2]),
    ("KOALA-700M", [0, 2, 5]), ("KOALA-1B", [0, 2, 6]),
  ]

  /// Why ComfyUI does not recognize a U-Net, or takes it for another one, as the object of "cannot
  /// load"; `nil` where it recognizes the U-Net.
  ///
  /// All loaders recognize models in the same way: `supported_models.py` and `model_detection.py`
  /// in the folder `comfy` of ComfyUI 0.33.0.
  static func refusal(of unet: ModelSource.Component, in model: ModelSource) -> String? {
    let architecture = Architectures.of(model.components)
    if architecture.hasAddedEmbedding {
      return Checkpoints.refusal(of: Array(unet.transformerDepths.down.joined()), known: known)
    }
    guard architecture.predictionMark != nil,
      PredictionType(scheduler: model.scheduler) == .velocity
    else { return nil }
    // Without the block whose statistic shows velocity prediction, and beside other inputs than
    // latents, it takes epsilon.
    if UNetTopology(config: unet.config).down.map(\.attentions.count) != [2, 2, 2, 2] {
      return "a stripped U-Net of Stable Diffusion 2 that predicts the velocity: it reads the "
        + "prediction type from a removed block"
    }
    let channels = unet.config["in_channels"]?.integer ?? 4
    return channels == 4
      ? nil
      : "a U-Net of Stable Diffusion 2 with \(channels) input channels that predicts the velocity: "
        + "it reads the prediction type of U-Nets with 4 only"
  }

  /// What ComfyUI does not load of a model that it is one of several programs for; empty where it
  /// loads it.
  static func notes(_ model: ModelSource) -> [String] {
    guard let unet = model[ComponentName.unet], let refusal = refusal(of: unet, in: model) else {
      return []
    }
    return ["ComfyUI cannot load \(refusal)"]
  }
}
