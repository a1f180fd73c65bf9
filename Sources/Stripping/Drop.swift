import Support

/// A block of the teacher that can be removed, by the teacher's block numbers.
enum Drop: Hashable, Sendable {
  /// The half of the U-Net that a level belongs to.
  enum Side: String, Hashable, Sendable {
    case down = "down_blocks"
    case up = "up_blocks"
  }

  /// The position of an attention.
  enum Place: Hashable, Sendable {
    case level(Side, Int, layer: Int)
    case mid
  }

  case level(Side, Int)
  /// A resnet, with its attention if the level has attentions.
  case layer(Side, Int, Int)
  case attention(Place)
  case transformerBlock(Place, Int)
  case mid
  case midResnet(Int)

  /// The block's name in diffusers.
  var name: String {
    switch self {
    case .level(let side, let level): "\(side.rawValue).\(level)"
    case .layer(let side, let level, let layer): "\(side.rawValue).\(level).resnets.\(layer)"
    case .attention(.level(let side, let level, let layer)):
      "\(side.rawValue).\(level).attentions.\(layer)"
    case .attention(.mid): "mid_block.attentions.0"
    case .transformerBlock(let place, let block):
      Drop.attention(place).name + ".transformer_blocks.\(block)"
    case .mid: "mid_block"
    case .midResnet(let resnet): "mid_block.resnets.\(resnet)"
    }
  }

  /// Every block of `topology` that can be removed.
  static func all(of topology: Topology) -> [Drop] {
    func parts(_ attention: Topology.Attention, at place: Place) -> [Drop] {
      [.attention(place)] + attention.blocks.map { .transformerBlock(place, $0) }
    }
    func parts(_ levels: [Topology.Level], _ side: Side) -> [Drop] {
      levels.flatMap { level in
        [.level(side, level.index)]
          + level.layers.flatMap { layer in
            let place = Place.level(side, level.index, layer: layer.resnet)
            return [.layer(side, level.index, layer.resnet)]
              + (layer.attention.map { parts($0, at: place) } ?? [])
          }
      }
    }
    let mid = topology.mid.map { mid in
      [.mid] + mid.resnets.map(Drop.midResnet) + (mid.attention.map { parts($0, at: .mid) } ?? [])
    }
    return parts(topology.down, .down) + (mid ?? []) + parts(topology.up, .up)
  }

  /// The blocks that match `pattern`. `*` matches any number, and the name of a list
  /// (`down_blocks.1.attentions`) matches each of its members.
  ///
  /// - Throws: `unknownBlock` or `notDroppable` when no block matches.
  static func matching(
    _ pattern: String, in topology: Topology
  ) throws(StripError.Reason) -> [Drop] {
    let all = all(of: topology)
    let wanted = pattern.split(separator: ".", omittingEmptySubsequences: false)
    func matches(_ drop: Drop, _ wanted: [Substring]) -> Bool {
      let found = drop.name.split(separator: ".")
      return found.count == wanted.count
        && zip(found, wanted).allSatisfy { $0 == $1 || ($1 == "*" && $0.allSatisfy(\.isNumber)) }
    }
    let found = all.filter { matches($0, wanted) }
    if !found.isEmpty { return found }
    let members = all.filter { matches($0, wanted + ["*"]) }
    if !members.isEmpty { return members }
    if let reason = refusal(pattern) { throw .notDroppable(pattern, because: reason) }
    throw .unknownBlock(
      pattern, suggestions: nearestNames(to: pattern, among: all.map(\.name), count: 2, within: 4))
  }

  /// Why a part of the U-Net is not in ``all(of:)``; `nil` when the U-Net has no such part.
  private static func refusal(_ pattern: String) -> String? {
    let parts = pattern.split(separator: ".")
    if parts.contains(where: { $0 == "downsamplers" || $0 == "upsamplers" }) {
      return "without it the resolutions of adjacent levels would not match; it is removed only "
        + "with the innermost level (down_blocks.N)"
    }
    let fixed = ["conv_in", "conv_out", "conv_norm_out", "time_embedding", "add_embedding"]
    if let first = parts.first, fixed.contains(String(first)) {
      return "every diffusers U-Net has it"
    }
    let inner = ["conv1", "conv2", "norm1", "norm2", "time_emb_proj", "conv_shortcut", "attn1"]
    if let last = parts.last,
      (inner + ["attn2", "ff", "proj_in", "proj_out"]).contains(String(last))
    {
      return
        "it is part of a block, and only a whole resnet, attention or transformer block can be "
        + "dropped"
    }
    return nil
  }
}
