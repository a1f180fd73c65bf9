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

  /// Why ComfyUI does not recognize a U-Net, as the object of "cannot load"; `nil` where it does.
  ///
  /// All loaders recognize models in the same way: `supported_models.py` and `model_detection.py`
  /// in the folder `comfy` of ComfyUI 0.33.0.
  static func refusal(of unet: ModelSource.Component, in model: ModelSource) -> String? {
    // It numbers the parts of a block by the transformer blocks that it finds.
    if unet.upsamplesAfterIdentity {
      return "a U-Net with an upsampler after an attention without transformer blocks"
    }
    guard Architectures.of(model.components).hasAddedEmbedding else { return nil }
    return Checkpoints.refusal(of: Array(unet.transformerDepths.down.joined()), known: known)
  }

  /// The note that ComfyUI takes a model that predicts the velocity for one that predicts epsilon;
  /// empty for other models.
  ///
  /// It finds velocity prediction of SDXL by a marker tensor. Of U-Nets without an added embedding,
  /// it finds that of complete ones of Stable Diffusion 2 with 4 input channels, by the statistic of
  /// a tensor that ``Architecture/predictionMark`` names.
  static func predictionNotes(_ model: ModelSource) -> [String] {
    guard let unet = model[ComponentName.unet],
      PredictionType(scheduler: model.scheduler) == .velocity
    else { return [] }
    let architecture = Architectures.of(model.components)
    if architecture.hasAddedEmbedding { return [] }
    let isComplete = UNetTopology(config: unet.config).down.map(\.attentions.count) == [2, 2, 2, 2]
    let channels = unet.config["in_channels"]?.integer ?? 4
    if architecture.predictionMark != nil, isComplete, channels == 4 { return [] }
    return [
      "ComfyUI takes this model, which predicts the velocity, for one that predicts epsilon: add the "
        + "node ModelSamplingDiscrete with v_prediction"
    ]
  }

  /// What holds in ComfyUI for a model that other programs read too.
  static func notes(_ model: ModelSource) -> [String] {
    guard let unet = model[ComponentName.unet] else { return [] }
    let refusal = refusal(of: unet, in: model).map { ["ComfyUI cannot load \($0)"] } ?? []
    return refusal + predictionNotes(model)
  }
}
