import Support

/// One block that can be asked to go, in the teacher's numbers.
enum Drop: Hashable, Sendable {
  enum Side: String, Hashable, Sendable {
    case down = "down_blocks"
    case up = "up_blocks"
  }

  /// Where an attention stands.
  enum Place: Hashable, Sendable {
    case level(Side, Int, layer: Int)
    case mid
  }

  case level(Side, Int)
  /// A resnet, with its attention where the level has them.
  case layer(Side, Int, Int)
  case attention(Place)
  case transformerBlock(Place, Int)
  case mid
  case midResnet(Int)

  /// The block's name as diffusers has it.
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

  /// Every block of `topology` that a drop may name.
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

  /// The blocks that `pattern` names: `*` stands for any number, and a list's name
  /// (`down_blocks.1.attentions`) for each of its members.
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

  /// Why a part that every U-Net has is not on the list.
  private static func refusal(_ pattern: String) -> String? {
    let parts = pattern.split(separator: ".")
    if parts.contains(where: { $0 == "downsamplers" || $0 == "upsamplers" }) {
      return "without it the levels beside it would differ in resolution; it goes with the "
        + "innermost level (down_blocks.N)"
    }
    let fixed = ["conv_in", "conv_out", "conv_norm_out", "time_embedding", "add_embedding"]
    if let first = parts.first, fixed.contains(String(first)) {
      return "every U-Net of diffusers has it"
    }
    let inner = ["conv1", "conv2", "norm1", "norm2", "time_emb_proj", "conv_shortcut", "attn1"]
    if let last = parts.last,
      (inner + ["attn2", "ff", "proj_in", "proj_out"]).contains(String(last))
    {
      return "it is part of a block; drop the whole resnet, attention or transformer block"
    }
    return nil
  }
}
