import Formats
import Support

/// How blocks of a U-Net with removed layers are numbered in the LDM layout.
enum BlockNumbering: String, CaseIterable {
  /// One number after another: diffusers, ComfyUI.
  case dense
  /// The numbers that the blocks would have if every level had two layers: diffusers' own script
  /// and stable-diffusion.cpp.
  case gap
}

/// Which blocks a U-Net has: all that its names depend on.
struct UNetTopology: Equatable {
  /// Resnets of a level, on one way, with the attention after each or none.
  struct Level: Equatable {
    var attentions: [Bool] = []
    var hasSampler = false
  }

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

  /// The topology that a config of `UNet2DConditionModel` tells of; absent fields are diffusers'
  /// defaults.
  init(config: JSONObject) {
    func types(_ field: String, _ standard: [String]) -> [String] {
      config[field]?.array?.compactMap(\.string) ?? standard
    }
    let cross = "CrossAttnDownBlock2D"
    let downTypes = types("down_block_types", [cross, cross, cross, "DownBlock2D"])
    let upCross = "CrossAttnUpBlock2D"
    let upTypes = types("up_block_types", ["UpBlock2D", upCross, upCross, upCross])
    let levels = downTypes.count
    let layers = (0..<levels).map { level in
      let value = config["layers_per_block"] ?? 2
      let entry = value.array.map { level < $0.count ? $0[level] : 2 } ?? value
      // Configs are checked when a model is bound; here nothing may be made of a number too large.
      return min(max(0, entry.integer ?? 2), 4096)
    }
    down = downTypes.enumerated().map { level, type in
      Level(
        attentions: [Bool](repeating: type == cross, count: layers[level]),
        hasSampler: level < levels - 1)
    }
    up = upTypes.enumerated().map { index, type in
      let level = max(0, levels - 1 - index)
      return Level(
        attentions: [Bool](repeating: type == upCross, count: layers[level] + 1),
        hasSampler: index < levels - 1)
    }
    let type = config["mid_block_type"] ?? "UNetMidBlock2DCrossAttn"
    mid =
      type.isNull
      ? nil
      : type.string == "UNetMidBlock2D"
        ? Mid(resnets: 1, hasAttention: false) : Mid(resnets: 2, hasAttention: true)
  }

  /// diffusers' names beside those of the LDM layout, which begin at `input_blocks`.
  func pairs(_ numbering: BlockNumbering) -> NamePairs {
    var pairs = NamePairs()
    for (ours, theirs) in LDMKeys.unetModules { pairs.add(ours, theirs) }
    var number = 1
    for (index, level) in down.enumerated() {
      let block = "down_blocks.\(index)"
      if numbering == .gap { number = 3 * index + 1 }
      for (layer, hasAttention) in level.attentions.enumerated() {
        pairs.add("\(block).resnets.\(layer)", "input_blocks.\(number).0", LDMKeys.unetResnet)
        if hasAttention { pairs.add("\(block).attentions.\(layer)", "input_blocks.\(number).1") }
        number += 1
      }
      if level.hasSampler {
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
      if level.hasSampler {
        // It sits in the entry of the level's last layer, after what is there. Numbered with gaps
        // and without that layer, it is where the script looks for it.
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
