import ModelSources
import Support
import Tensors

/// A program that reads GGUF files of Stable Diffusion, and what it can take. One file that conforms to
/// this, and one line in ``GGUFProfiles/all``.
protocol GGUFProfile: Sendable {
  /// What `--for` calls it.
  var name: String { get }
  /// The program's name.
  var title: String { get }

  /// Why the program cannot load the model: what it has that the program does not know; `nil` when it
  /// can.
  func refusal(_ model: ModelSource) -> String?

  /// Whether a component of that name goes into the file.
  func holds(component: String) -> Bool

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
  var depths: (down: [[Int]], mid: Int?) {
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
  var guidanceRefusal: String? {
    config["time_cond_proj_dim"]?.integer == nil
      ? nil : "the guidance embedding of a latent consistency model, which it would leave out"
  }
}
