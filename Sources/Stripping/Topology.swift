import Models

/// A U-Net as the blocks that drops take away: levels of layers, each a resnet with its attention
/// where the level has them, known by the numbers that they have in the teacher.
///
/// A layer's place in its list is its number in the student, so this one value says both what the
/// student is and where its tensors come from.
struct Topology: Hashable, Sendable {
  struct Attention: Hashable, Sendable {
    let index: Int
    /// The teacher's transformer blocks that stay.
    var blocks: [Int]
    /// Dropped, though its level keeps others: no transformer block, and a zeroed `proj_out` that
    /// adds nothing to what passes by.
    var isIdentity = false
  }

  struct Layer: Hashable, Sendable {
    let resnet: Int
    /// Channels that the teacher's resnet reads: the path's, and in an up level the skip's.
    var reads: [Int] = []
    var attention: Attention?
  }

  struct Level: Hashable, Sendable {
    let index: Int
    let channels: Int
    var layers: [Layer]
    /// Whether the level changes the resolution after its layers.
    var hasSampler: Bool

    var hasAttention: Bool { layers.contains { $0.attention != nil } }
  }

  struct Mid: Hashable, Sendable {
    let channels: Int
    var resnets: [Int]
    var attention: Attention?
  }

  /// From the picture inwards.
  var down: [Level]
  var mid: Mid?
  /// From the innermost level outwards: `up[n - 1 - i]` mirrors `down[i]`.
  var up: [Level]

  /// The teacher's topology: notes the channels that each of its resnets reads.
  init(down: [Level], mid: Mid?, up: [Level]) {
    self.down = down
    self.mid = mid
    self.up = up
    for level in down.indices {
      for layer in down[level].layers.indices {
        self.down[level].layers[layer].reads = channels(down: level, layer: layer)
      }
    }
    for level in up.indices {
      for layer in up[level].layers.indices {
        self.up[level].layers[layer].reads = channels(up: level, layer: layer)
      }
    }
  }

  // MARK: - What stock diffusers gives to each block

  private func given(toDown level: Int) -> Int { down[max(0, level - 1)].channels }

  /// Diffusers takes the innermost level's channels for those of the mid block.
  private func given(toUp level: Int) -> Int { up[max(0, level - 1)].channels }

  private func channels(down level: Int, layer: Int) -> [Int] {
    [layer == 0 ? given(toDown: level) : down[level].channels]
  }

  /// The last resnet of an up level reads the skip that enters the mirrored level; the others read
  /// skips of the level itself.
  private func channels(up level: Int, layer: Int) -> [Int] {
    let isLast = layer == up[level].layers.count - 1
    let skip = isLast ? up[min(level + 1, up.count - 1)].channels : up[level].channels
    return [layer == 0 ? given(toUp: level) : up[level].channels, skip]
  }

  /// The first block that would be given other channels than it reads, if any.
  func misfit() -> StripError.Reason? {
    for level in down.indices {
      if let found = misfit(down: level) { return found }
    }
    for level in up.indices {
      if let found = misfit(up: level) { return found }
    }
    if let mid, let inner = down.last, mid.channels != inner.channels {
      return .channels(block: "mid_block", reads: [mid.channels], wouldBeGiven: [inner.channels])
    }
    return nil
  }

  func misfit(down level: Int) -> StripError.Reason? {
    let found = down[level]
    for (place, layer) in found.layers.enumerated() {
      let given = channels(down: level, layer: place)
      if layer.reads != given {
        return .channels(
          block: "down_blocks.\(found.index).resnets.\(layer.resnet)", reads: layer.reads,
          wouldBeGiven: given)
      }
    }
    // With no resnet to change them, the channels that enter the level leave it.
    let given = given(toDown: level)
    if found.layers.isEmpty, given != found.channels {
      return .channels(
        block: "down_blocks.\(found.index)" + (found.hasSampler ? ".downsamplers.0" : ""),
        reads: [found.channels], wouldBeGiven: [given])
    }
    return nil
  }

  func misfit(up level: Int) -> StripError.Reason? {
    for (place, layer) in up[level].layers.enumerated() {
      let given = channels(up: level, layer: place)
      if layer.reads != given {
        return .channels(
          block: "up_blocks.\(up[level].index).resnets.\(layer.resnet)", reads: layer.reads,
          wouldBeGiven: given)
      }
    }
    return nil
  }

  // MARK: - Names

  /// Each of the student's blocks with the teacher's that it comes from, in diffusers' names.
  var sources: [(student: String, teacher: String)] {
    var sources: [(String, String)] = []
    func add(_ attention: Attention, student: String, teacher: String) {
      sources.append((student, teacher))
      for (place, block) in attention.blocks.enumerated() {
        sources.append(
          ("\(student).transformer_blocks.\(place)", "\(teacher).transformer_blocks.\(block)"))
      }
    }
    func add(_ level: Level, place: Int, side: String, sampler: String) {
      let student = "\(side).\(place)"
      let teacher = "\(side).\(level.index)"
      for (number, layer) in level.layers.enumerated() {
        sources.append(("\(student).resnets.\(number)", "\(teacher).resnets.\(layer.resnet)"))
        if let attention = layer.attention {
          add(
            attention, student: "\(student).attentions.\(number)",
            teacher: "\(teacher).attentions.\(attention.index)")
        }
      }
      if level.hasSampler { sources.append(("\(student).\(sampler)", "\(teacher).\(sampler)")) }
    }
    for (place, level) in down.enumerated() {
      add(level, place: place, side: "down_blocks", sampler: "downsamplers.0")
    }
    if let mid {
      for (number, resnet) in mid.resnets.enumerated() {
        sources.append(("mid_block.resnets.\(number)", "mid_block.resnets.\(resnet)"))
      }
      if let attention = mid.attention {
        add(attention, student: "mid_block.attentions.0", teacher: "mid_block.attentions.0")
      }
    }
    for (place, level) in up.enumerated() {
      add(level, place: place, side: "up_blocks", sampler: "upsamplers.0")
    }
    return sources
  }

  /// The student's attentions that are kept as an identity, in its own names.
  var identities: [String] {
    func names(_ levels: [Level], side: String) -> [String] {
      levels.enumerated().flatMap { place, level in
        level.layers.indices.filter { level.layers[$0].attention?.isIdentity == true }
          .map { "\(side).\(place).attentions.\($0)" }
      }
    }
    return names(down, side: "down_blocks")
      + (mid?.attention?.isIdentity == true ? ["mid_block.attentions.0"] : [])
      + names(up, side: "up_blocks")
  }
}

extension Topology {
  /// The topology of the U-Net that `config` describes.
  init(_ config: UNetConfig) {
    func level(
      _ index: Int, channels: Int, layers: Int, depths: [Int], hasSampler: Bool
    ) -> Level {
      let layers = (0..<layers).map { layer in
        Layer(
          resnet: layer,
          attention: layer < depths.count
            ? Attention(index: layer, blocks: Array(0..<depths[layer])) : nil)
      }
      return Level(index: index, channels: channels, layers: layers, hasSampler: hasSampler)
    }
    let last = config.levels - 1
    let down = (0...last).map { index in
      level(
        index, channels: config.blockOutChannels[index], layers: config.layersPerBlock[index],
        depths: config.downTransformerLayers[index], hasSampler: index < last)
    }
    let up = (0...last).map { index in
      level(
        index, channels: config.blockOutChannels[last - index],
        layers: config.layersPerBlock[last - index] + 1,
        depths: config.upTransformerLayers[index], hasSampler: index < last)
    }
    let channels = config.blockOutChannels[last]
    let mid: Mid? =
      switch config.midBlockType {
      case .crossAttention?:
        Mid(
          channels: channels, resnets: [0, 1],
          attention: Attention(index: 0, blocks: Array(0..<config.midTransformerLayers)))
      case .plain?: Mid(channels: channels, resnets: [0])
      case nil: nil
      }
    self.init(down: down, mid: mid, up: up)
  }
}
