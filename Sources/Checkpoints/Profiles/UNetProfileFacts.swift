import ModelSources
import Support

/// The depths of a U-Net's transformers, by which programs recognize it.
struct TransformerDepths: Equatable, CustomStringConvertible {
  enum Mid: Equatable {
    case absent, withoutAttention
    /// Transformer blocks of the mid block's attention.
    case depth(Int)
  }

  /// Transformer blocks after each resnet of each down level; 0 after a resnet without attention.
  let down: [[Int]]
  let mid: Mid
  /// The same of the up levels, from the deepest level outwards.
  let up: [[Int]]

  /// - Parameter up: `nil` where each up level has one resnet more than its down level, with the same depth.
  init(down: [[Int]], mid: Mid, up: [[Int]]? = nil) {
    self.down = down
    self.mid = mid
    self.up = up ?? Self.mirror(of: down)
  }

  private static func mirror(of down: [[Int]]) -> [[Int]] {
    down.reversed().map { $0 + ($0.first.map { [$0] } ?? []) }
  }

  var description: String {
    let midText =
      switch mid {
      case .absent: "no mid block"
      case .withoutAttention: "a mid block without attention"
      case .depth(let depth): "\(depth) in the mid block"
      }
    return up == Self.mirror(of: down)
      ? "\(down) and \(midText)" : "\(down), \(midText) and \(up) in the up blocks"
  }
}

/// The refusal of a U-Net whose depths are none of those that a program recognizes; `nil` for the
/// others.
///
/// - Parameter known: the U-Nets that the program recognizes, by the names of their models.
func refusal<Depths: Equatable>(
  of depths: Depths, known: [(model: String, depths: Depths)]
) -> String? {
  if known.contains(where: { $0.depths == depths }) { return nil }
  return "a U-Net with transformer depths \(depths); it loads \(listed(known.map(\.model)))"
}

/// Facts of a U-Net's config by which programs recognize or refuse a model.
extension ModelSource.Component {
  var transformerDepths: TransformerDepths {
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
    let reversed = config["reverse_transformer_layers_per_block"]?.array ?? entries.reversed()
    let up = topology.up.enumerated().map { level, layers in
      layers.attentions.enumerated().map { layer, has in
        has && level < reversed.count ? depth(reversed[level], layer) : 0
      }
    }
    guard let mid = topology.mid else {
      return TransformerDepths(down: down, mid: .absent, up: up)
    }
    return TransformerDepths(
      down: down,
      mid: mid.hasAttention ? .depth(entries.last.map { depth($0, 0) } ?? 0) : .withoutAttention,
      up: up)
  }

  /// Whether an upsampler follows an attention without transformer blocks, which stays as an identity where
  /// its level has other attentions.
  var upsamplesAfterIdentity: Bool {
    zip(UNetTopology(config: config).up, transformerDepths.up).contains { level, depths in
      level.hasResampler && level.attentions.last == true && depths.last == 0
    }
  }

  /// Whether the U-Net has the guidance embedding of latent consistency models, which the LDM layout
  /// has no name for.
  var hasGuidanceEmbedding: Bool { config["time_cond_proj_dim"]?.integer != nil }

  /// The refusal of a U-Net with a guidance embedding; `nil` for other U-Nets.
  var guidanceRefusal: String? {
    hasGuidanceEmbedding ? "the guidance embedding of a latent consistency model" : nil
  }
}

extension ModelSource {
  /// The refusal of a model without a U-Net, or what `refusal` returns for its U-Net.
  func refusal(ofUNet refusal: (Component) -> String?) -> String? {
    guard let unet = self[ComponentName.unet] else { return "a model without a U-Net" }
    return refusal(unet)
  }

  /// The note that programs ignore a guidance embedding; empty for other models.
  func guidanceNotes(for programs: [String]) -> [String] {
    guard self[ComponentName.unet]?.hasGuidanceEmbedding == true else { return [] }
    let verb = programs.count == 1 ? "ignores" : "ignore"
    return [
      "\(listed(programs)) \(verb) the guidance embedding of this latent consistency model, "
        + "the tensor 'time_embedding.cond_proj.weight'"
    ]
  }
}
