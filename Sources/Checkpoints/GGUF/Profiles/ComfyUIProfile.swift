import Formats
import ModelSources
import Tensors

/// ComfyUI with the ComfyUI-GGUF nodes: the U-Net alone. Kernels of convolutions are stored in rows of
/// 256, with the shape that they had beside them, so that they can be blocks of codes.
struct ComfyUIProfile: GGUFProfile {
  let name = "comfyui"
  let title = "ComfyUI"

  func refusal(_ model: ModelSource) -> String? {
    guard let unet = model[ComponentName.unet] else { return "a model without a U-Net" }
    if let refusal = unet.guidanceRefusal { return refusal }
    let architecture = Architectures.of(model.components)
    let (depths, _) = unet.depths
    if architecture.hasAddedEmbedding {
      let known = [
        [0, 0, 2, 2, 10, 10], [0, 0, 2, 2, 4, 4], [0, 0, 1, 1, 2, 2], [0, 2, 5], [0, 2, 6],
        [0, 0, 4, 4, 4, 4, 0, 0],
      ]
      let found = Array(depths.joined())
      return known.contains(found)
        ? nil
        : "a U-Net with transformer depths \(found); it knows those of SDXL, its refiner, "
          + "SSD-1B, Vega and KOALA alone"
    }
    let layers = UNetTopology(config: unet.config).down.map(\.attentions.count)
    return architecture.predictionMark != nil && layers != [2, 2, 2, 2]
      ? "a stripped U-Net of Stable Diffusion 2, in which it looks for a block that is gone" : nil
  }

  func holds(component: String) -> Bool { component == ComponentName.unet }

  func sources(of model: ModelSource) throws -> [any WeightSource] {
    var alone = model
    alone.components = model.components.filter { holds(component: $0.name) }
    return try LDMNames.sources(of: alone, numbering: .dense).map(UnprefixedSource.init)
  }

  func holdsCodes(_ shape: Shape, of tensor: String, in component: String) -> Bool {
    let precise = ["time_embedding.", "add_embedding.", "conv_in.", "conv_out."]
    return holds(component: component) && shape.rank >= 2 && shape.rowLength % 32 == 0
      && (shape.rank == 2 || shape.count % Self.row == 0)
      && !precise.contains(where: tensor.hasPrefix)
  }

  private static let row = 256

  func storedShape(_ entry: TensorEntry) -> Shape {
    entry.encoding.isQuantized && entry.shape.rank > 2
      ? [entry.shape.count / Self.row, Self.row] : entry.shape
  }

  func storedKind(_ kind: ElementKind, _ shape: Shape) -> ElementKind {
    // It knows no float64.
    kind == .f64 || (shape.rank < 2 && [.f16, .bf16].contains(kind)) ? .f32 : kind
  }
}

/// A U-Net's tensors without the prefix that whole models have.
private struct UnprefixedSource: WeightSource {
  private let base: any WeightSource
  private static let prefix = LDMKeys.unet

  init(_ base: any WeightSource) { self.base = base }

  var location: String { base.location }
  var names: [String] { base.names.map { String($0.dropFirst(Self.prefix.count)) } }
  func entry(_ name: String) -> TensorEntry? { base.entry(Self.prefix + name) }
  func tensor(_ name: String) throws -> StoredTensor { try base.tensor(Self.prefix + name) }
}
