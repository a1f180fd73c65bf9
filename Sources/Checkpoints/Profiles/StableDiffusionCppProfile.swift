import ModelSources
import Tensors

/// stable-diffusion.cpp: a whole model in one GGUF file.
///
/// The program has the shapes of the U-Nets that it loads in its source. It computes convolutions
/// with float16 kernels, so only matrices are quantized.
struct StableDiffusionCppProfile: OutputProfile {
  let name = "sdcpp"
  let title = "stable-diffusion.cpp"
  var container: String { GGUFWriter().name }
  var memorySwitches: MemorySwitches? {
    .options(["vae-tiling", "diffusion-fa", "offload-to-cpu"])
  }

  /// Activations are float32, convolutions unfold their inputs in float16, and all weights stay
  /// loaded. Without options for flash attention and tiled decoding.
  var memory: ProgramMemory {
    ProgramMemory(
      activationBytes: 4, batchesGuidance: false, scores: .wholeMatrix, convolutions: .unfolded,
      loadsEncoder: false)
  }

  /// Transformer depths of the U-Nets with an added embedding, and of the others.
  private static let knownXL: [(model: String, depths: TransformerDepths)] = [
    ("SDXL", TransformerDepths(down: [[0, 0], [2, 2], [10, 10]], mid: .depth(10))),
    (
      "SSD-1B",
      TransformerDepths(
        down: [[0, 0], [2, 2], [4, 4]], mid: .withoutAttention,
        up: [[4, 4, 10], [2, 1, 1], [0, 0, 0]])
    ),
    ("Vega", TransformerDepths(down: [[0, 0], [1, 1], [2, 2]], mid: .withoutAttention)),
  ]
  private static let known: [(model: String, depths: TransformerDepths)] = [
    (
      "complete U-Nets of Stable Diffusion 1 and 2",
      TransformerDepths(down: [[1, 1], [1, 1], [1, 1], [0, 0]], mid: .depth(1))
    ),
    ("those of BK-SDM Tiny", TransformerDepths(down: [[1], [1], [1]], mid: .absent)),
  ]

  func refusal(_ model: ModelSource) -> String? {
    model.refusal { unet in
      if let refusal = unet.guidanceRefusal { return refusal }
      let depths = unet.transformerDepths
      guard Architectures.of(model.components).hasAddedEmbedding else {
        return Checkpoints.refusal(of: depths, known: Self.known)
      }
      guard model[ComponentName.textEncoder] == nil else {
        return Checkpoints.refusal(of: depths, known: Self.knownXL)
      }
      return model[ComponentName.textEncoder2] == nil
        ? "SDXL's U-Net without its text encoders"
        : "SDXL's refiner, whose text encoder it does not find"
    }
  }

  /// In source code of version 97d2990, and seen in images of SSD-1B.
  func fault(in container: String) -> String? {
    container == CheckpointWriter().name
      ? "\(title) does not transpose 'text_projection' of single files of SDXL, so that its images "
        + "differ" : nil
  }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? { GGMLType.nearest(to: encoding) }

  func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    !entry.encoding.isQuantized
      || entry.shape.rank == 2 && GGMLType.storesRows(of: entry) && !tensor.contains("embedding")
  }

  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try LDMNames.sources(of: model, numbering: .gap, dialect: .transformers)
  }
}
