import ModelSources
import Support

/// Facts of a U-Net's config by which programs recognize or refuse a model.
extension ModelSource.Component {
  /// Transformer blocks of each attention of each down level, and of the mid block. `mid` is `nil`
  /// where the mid block has no attention or is absent.
  var transformerDepths: (down: [[Int]], mid: Int?) {
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

  /// Whether the U-Net has the guidance embedding of latent consistency models, which the LDM layout
  /// has no name for.
  var hasGuidanceEmbedding: Bool { config["time_cond_proj_dim"]?.integer != nil }

  /// The refusal of a U-Net with a guidance embedding; `nil` for other U-Nets.
  var guidanceRefusal: String? {
    hasGuidanceEmbedding ? "the guidance embedding of a latent consistency model" : nil
  }
}

extension ModelSource {
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
