import ModelSources
import Tensors

/// stable-diffusion.cpp: a whole model in one file. The shapes of U-Nets are written into the program,
/// so only those load that it knows; kernels of convolutions are float16 there in any case.
struct StableDiffusionCppProfile: GGUFProfile {
  let name = "sdcpp"
  let title = "stable-diffusion.cpp"

  func refusal(_ model: ModelSource) -> String? {
    guard let unet = model[ComponentName.unet] else { return "a model without a U-Net" }
    if let refusal = unet.guidanceRefusal { return refusal }
    let architecture = Architectures.of(model.components)
    let topology = UNetTopology(config: unet.config)
    let (depths, mid) = unet.depths
    if architecture.hasAddedEmbedding {
      if model[ComponentName.textEncoder] == nil {
        return "SDXL's refiner, whose text encoder it does not find"
      }
      let known: [([[Int]], Int?)] = [
        ([[0, 0], [2, 2], [10, 10]], 10), ([[0, 0], [2, 2], [4, 4]], nil),
        ([[0, 0], [1, 1], [2, 2]], nil),
      ]
      return known.contains { $0.0 == depths && $0.1 == mid }
        ? nil : "a U-Net with transformer depths \(depths); it knows SDXL, SSD-1B and Vega alone"
    }
    let layers = topology.down.map(\.attentions.count)
    if layers == [2, 2, 2, 2], mid == 1, depths == [[1, 1], [1, 1], [1, 1], [0, 0]] {
      return nil
    }
    if layers == [1, 1, 1], topology.mid == nil, depths == [[1], [1], [1]] { return nil }
    return
      "a U-Net of \(layers) layers \(topology.mid == nil ? "without" : "with") a mid block, which "
      + "it takes for another; it knows Stable Diffusion 1 and 2 whole, and as BK-SDM Tiny"
  }

  func holds(component: String) -> Bool { true }

  func sources(of model: ModelSource) throws -> [any WeightSource] {
    try LDMNames.sources(of: model, numbering: .gap, dialect: .transformers)
  }

  func holdsCodes(_ shape: Shape, of tensor: String, in component: String) -> Bool {
    shape.rank == 2 && shape.rowLength % 32 == 0 && !tensor.contains("embedding")
  }

  func storedShape(_ entry: TensorEntry) -> Shape { entry.shape }
  func storedKind(_ kind: ElementKind, _ shape: Shape) -> ElementKind { kind }
}
