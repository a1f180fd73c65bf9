import Formats
import ModelSources
import Support

/// The blocks of a U-Net, on which its tensor names depend.
struct UNetTopology: Equatable {
  /// The resnets of a down or up block, each with or without an attention after it.
  struct Level: Equatable {
    var attentions: [Bool] = []
    var hasResampler = false
  }

  /// The mid block.
  struct Mid: Equatable {
    var resnets: Int
    var hasAttention: Bool
  }

  let down: [Level]
  let mid: Mid?
  /// From the deepest level outwards.
  let up: [Level]

  init(down: [Level], mid: Mid?, up: [Level]) {
    self.down = down
    self.mid = mid
    self.up = up
  }

  /// Reads the topology from a config of `UNet2DConditionModel`. Absent fields take diffusers'
  /// defaults.
  init(config: JSONObject) {
    func types<Block: RawRepresentable<String>>(_ field: String, _ standard: [Block]) -> [Block?] {
      config[field]?.array?.compactMap(\.string).map { Block(rawValue: $0) } ?? standard
    }
    let downTypes = types("down_block_types", UNetBlocks.Down.standard)
    let upTypes = types("up_block_types", UNetBlocks.Up.standard)
    let levels = downTypes.count
    let layers = (0..<levels).map { level in
      let standard = UNetBlocks.standardLayers
      let value = config["layers_per_block"] ?? .integer(standard)
      let entry = value.array.map { level < $0.count ? $0[level] : .integer(standard) } ?? value
      // Configs are checked when a model is bound. The limit only bounds the work here.
      return min(max(0, entry.integer ?? standard), 4096)
    }
    down = downTypes.enumerated().map { level, type in
      Level(
        attentions: [Bool](repeating: type == .crossAttention, count: layers[level]),
        hasResampler: level < levels - 1)
    }
    up = upTypes.enumerated().map { index, type in
      let level = max(0, levels - 1 - index)
      return Level(
        attentions: [Bool](repeating: type == .crossAttention, count: layers[level] + 1),
        hasResampler: index < levels - 1)
    }
    let type = config["mid_block_type"]
    mid =
      type?.isNull == true
      ? nil
      : type?.string.flatMap({ UNetBlocks.Mid(rawValue: $0) }) == .plain
        ? Mid(resnets: 1, hasAttention: false) : Mid(resnets: 2, hasAttention: true)
  }

  /// Pairs of diffusers' names and LDM names below the U-Net's prefix.
  func pairs(_ numbering: BlockNumbering) -> NamePairs {
    var pairs = NamePairs()
    for (diffusers, other) in LDMKeys.unetModules { pairs.add(diffusers, other) }
    var number = 1
    for (index, level) in down.enumerated() {
      let block = "down_blocks.\(index)"
      if numbering == .gap { number = 3 * index + 1 }
      for (layer, hasAttention) in level.attentions.enumerated() {
        pairs.add("\(block).resnets.\(layer)", "input_blocks.\(number).0", LDMKeys.unetResnet)
        if hasAttention { pairs.add("\(block).attentions.\(layer)", "input_blocks.\(number).1") }
        number += 1
      }
      if level.hasResampler {
        if numbering == .gap { number = 3 * (index + 1) }
        pairs.add("\(block).downsamplers.0.conv", "input_blocks.\(number).0.op")
        number += 1
      }
    }
    if let mid {
      pairs.add("mid_block.resnets.0", "middle_block.0", LDMKeys.unetResnet)
      if mid.hasAttention { pairs.add("mid_block.attentions.0", "middle_block.1") }
      if mid.resnets > 1 {
        pairs.add(
          "mid_block.resnets.1", "middle_block.\(mid.hasAttention ? 2 : 1)", LDMKeys.unetResnet)
      }
    }
    number = 0
    for (index, level) in up.enumerated() {
      let block = "up_blocks.\(index)"
      if numbering == .gap { number = 3 * index }
      for (layer, hasAttention) in level.attentions.enumerated() {
        pairs.add("\(block).resnets.\(layer)", "output_blocks.\(number).0", LDMKeys.unetResnet)
        if hasAttention { pairs.add("\(block).attentions.\(layer)", "output_blocks.\(number).1") }
        number += 1
      }
      if level.hasResampler {
        // The upsampler is the last module in the entry of the level's last layer. With gap
        // numbering and fewer than three layers, it has the number that diffusers' script expects.
        let isWhole = level.attentions.count == 3
        let place =
          numbering == .gap && !isWhole
          ? "output_blocks.\(3 * index + 2).\(index == 0 ? 1 : 2)"
          : "output_blocks.\(number - 1).\(level.attentions.last == true ? 2 : 1)"
        pairs.add("\(block).upsamplers.0.conv", "\(place).conv")
      }
    }
    return pairs
  }
}
