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

  /// Activations are float32, convolutions unfold their inputs in float16, and all weights stay
  /// loaded. Without options for flash attention and tiled decoding.
  var memory: ProgramMemory {
    ProgramMemory(
      activationBytes: 4, batchesGuidance: false, scores: .wholeMatrix, convolutions: .unfolded,
      loadsEncoder: false)
  }

  func refusal(_ model: ModelSource) -> String? {
    guard let unet = model[ComponentName.unet] else { return "a model without a U-Net" }
    if let refusal = unet.guidanceRefusal { return refusal }
    let architecture = Architectures.of(model.components)
    let topology = UNetTopology(config: unet.config)
    let (depths, mid) = unet.transformerDepths
    if architecture.hasAddedEmbedding {
      if model[ComponentName.textEncoder] == nil {
        return model[ComponentName.textEncoder2] == nil
          ? "SDXL's U-Net without its text encoders"
          : "SDXL's refiner, whose text encoder it does not find"
      }
      let known: [([[Int]], Int?)] = [
        ([[0, 0], [2, 2], [10, 10]], 10), ([[0, 0], [2, 2], [4, 4]], nil),
        ([[0, 0], [1, 1], [2, 2]], nil),
      ]
      return known.contains { $0.0 == depths && $0.1 == mid }
        ? nil : "a U-Net with transformer depths \(depths); it loads SDXL, SSD-1B and Vega"
    }
    let layers = topology.down.map(\.attentions.count)
    if layers == [2, 2, 2, 2], mid == 1, depths == [[1, 1], [1, 1], [1, 1], [0, 0]] {
      return nil
    }
    if layers == [1, 1, 1], topology.mid == nil, depths == [[1], [1], [1]] { return nil }
    return
      "a U-Net of \(layers) layers \(topology.mid == nil ? "without" : "with") a mid block; it "
      + "loads complete U-Nets of Stable Diffusion 1 and 2, and BK-SDM Tiny"
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
