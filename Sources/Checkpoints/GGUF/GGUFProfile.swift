import Tensors

/// A program that reads GGUF files of Stable Diffusion, and what it can take.
protocol GGUFProfile: Sendable {
  /// What `--for` calls it.
  var name: String { get }
  /// The program's name.
  var title: String { get }

  /// Why the program cannot load the model: what it has that the program does not know; `nil` when it
  /// can.
  func refusal(_ model: ModelSource) -> String?

  /// The tensors under the program's names.
  func sources(of model: ModelSource) throws -> [any WeightSource]

  /// Whether a weight of that shape may be stored in blocks of codes.
  func holdsCodes(_ shape: Shape, of tensor: String, in component: String) -> Bool

  /// The shape that a tensor lies in, where it is not its own.
  func storedShape(_ entry: TensorEntry) -> Shape

  /// The kind that a plain tensor is stored in.
  func storedKind(_ kind: ElementKind, _ shape: Shape) -> ElementKind
}

/// The profiles, a line each; the first is the standard one.
enum GGUFProfiles {
  static let all: [any GGUFProfile] = [
    StableDiffusionCppProfile(),
    ComfyUIProfile(),
  ]

  static func named(_ name: String?) -> (any GGUFProfile)? {
    name == nil ? all[0] : all.first { $0.name == name }
  }
}

extension ModelSource.Component {
  /// Depths of the transformers of each down level, and of the mid block, of a U-Net; what programs
  /// tell models of SDXL's line apart by.
  fileprivate var depths: (down: [[Int]], mid: Int?) {
    let topology = UNetTopology(config: config)
    let written = config["transformer_layers_per_block"] ?? 1
    let entries = written.array ?? [JSONValue](repeating: written, count: topology.down.count)
    func depth(_ entry: JSONValue, _ layer: Int) -> Int {
      if let list = entry.array { return layer < list.count ? list[layer].integer ?? 0 : 0 }
      return entry.integer ?? 0
    }
    let down = topology.down.enumerated().map { level, layers in
      layers.attentions.enumerated().map { layer, has in
        has && level < entries.count ? depth(entries[level], layer) : 0
      }
    }
    return (down, topology.mid?.hasAttention == true ? entries.last.map { depth($0, 0) } : nil)
  }

  /// What every program of the LDM layout would leave out.
  fileprivate var guidanceRefusal: String? {
    config["time_cond_proj_dim"]?.integer == nil
      ? nil : "the guidance embedding of a latent consistency model, which it would leave out"
  }
}

/// stable-diffusion.cpp: a whole model in one file. The shapes of U-Nets are written into the program,
/// so only those load that it knows; kernels of convolutions are float16 there in any case.
struct StableDiffusionCppProfile: GGUFProfile {
  let name = "sdcpp"
  let title = "stable-diffusion.cpp"

  func refusal(_ model: ModelSource) -> String? {
    guard let unet = model["unet"] else { return "a model without a U-Net" }
    if let refusal = unet.guidanceRefusal { return refusal }
    let line = SingleFileLines.of(model.components)
    let topology = UNetTopology(config: unet.config)
    let (depths, mid) = unet.depths
    if line.addsToTime {
      if model["text_encoder"] == nil {
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

  func sources(of model: ModelSource) throws -> [any WeightSource] {
    try LDMNames.sources(of: model, numbering: .gap, dialect: .transformers)
  }

  func holdsCodes(_ shape: Shape, of tensor: String, in component: String) -> Bool {
    shape.rank == 2 && shape.rowLength % 32 == 0 && !tensor.contains("embedding")
  }

  func storedShape(_ entry: TensorEntry) -> Shape { entry.shape }
  func storedKind(_ kind: ElementKind, _ shape: Shape) -> ElementKind { kind }
}

/// ComfyUI with the ComfyUI-GGUF nodes: the U-Net alone. Kernels of convolutions are stored in rows of
/// 256, with the shape that they had beside them, so that they can be blocks of codes.
struct ComfyUIProfile: GGUFProfile {
  let name = "comfyui"
  let title = "ComfyUI"

  func refusal(_ model: ModelSource) -> String? {
    guard let unet = model["unet"] else { return "a model without a U-Net" }
    if let refusal = unet.guidanceRefusal { return refusal }
    let line = SingleFileLines.of(model.components)
    let (depths, _) = unet.depths
    if line.addsToTime {
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
    return line.predictionMark != nil && layers != [2, 2, 2, 2]
      ? "a stripped U-Net of Stable Diffusion 2, in which it looks for a block that is gone" : nil
  }

  func sources(of model: ModelSource) throws -> [any WeightSource] {
    var alone = model
    alone.components = model.components.filter { $0.name == "unet" }
    return try LDMNames.sources(of: alone, numbering: .dense).map(UnprefixedSource.init)
  }

  func holdsCodes(_ shape: Shape, of tensor: String, in component: String) -> Bool {
    let precise = ["time_embedding.", "add_embedding.", "conv_in.", "conv_out."]
    return component == "unet" && shape.rank >= 2 && shape.rowLength % 32 == 0
      && (shape.rank == 2 || shape.count % Self.row == 0)
      && !precise.contains(where: tensor.hasPrefix)
  }

  private static let row = 256

  func storedShape(_ entry: TensorEntry) -> Shape {
    entry.encoding.isQuantized && entry.shape.rank > 2
      ? [entry.shape.count / Self.row, Self.row] : entry.shape
  }

  func storedKind(_ kind: ElementKind, _ shape: Shape) -> ElementKind {
    shape.rank < 2 && [.f16, .bf16].contains(kind) ? .f32 : kind
  }
}

/// A U-Net's tensors without the prefix that whole models have.
private struct UnprefixedSource: WeightSource {
  private let base: any WeightSource
  private static let prefix = "model.diffusion_model."

  init(_ base: any WeightSource) { self.base = base }

  var location: String { base.location }
  var names: [String] { base.names.map { String($0.dropFirst(Self.prefix.count)) } }
  func entry(_ name: String) -> TensorEntry? { base.entry(Self.prefix + name) }
  func tensor(_ name: String) throws -> StoredTensor { try base.tensor(Self.prefix + name) }
}
