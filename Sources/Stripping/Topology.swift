import ModelSources
import Models

/// The blocks of a U-Net: levels of layers, each a resnet with an attention if the level has
/// attentions.
///
/// Blocks have the teacher's numbers. A layer's index in its list is its number in the student, so
/// the topology gives both the student's structure and the source of its tensors.
struct Topology: Hashable, Sendable {
  /// An attention and its transformer blocks.
  struct Attention: Hashable, Sendable {
    let index: Int
    /// The teacher's transformer blocks that are kept.
    var blocks: [Int]
    /// Whether the attention is dropped but its level keeps others. It then has no transformer
    /// blocks, and a zeroed `proj_out` makes it an identity.
    var isIdentity = false
  }

  /// A resnet with its attention.
  struct Layer: Hashable, Sendable {
    let resnet: Int
    /// Input channels of the teacher's resnet: of the previous layer and, in an up level, of the
    /// skip connection.
    var inputChannels: [Int] = []
    var attention: Attention?
  }

  /// A down or up block.
  struct Level: Hashable, Sendable {
    let index: Int
    let channels: Int
    var layers: [Layer]
    /// Whether a downsampler or upsampler follows the layers.
    var hasResampler: Bool

    var hasAttention: Bool { layers.contains { $0.attention != nil } }
  }

  /// The mid block.
  struct Mid: Hashable, Sendable {
    let channels: Int
    var resnets: [Int]
    var attention: Attention?
  }

  /// From the outermost level to the innermost.
  var down: [Level]
  var mid: Mid?
  /// From the innermost level to the outermost: `up[n - 1 - i]` mirrors `down[i]`.
  var up: [Level]

  /// The teacher's topology. The initializer computes the input channels of each resnet.
  init(down: [Level], mid: Mid?, up: [Level]) {
    self.down = down
    self.mid = mid
    self.up = up
    for level in down.indices {
      for layer in down[level].layers.indices {
        self.down[level].layers[layer].inputChannels = inputChannels(down: level, layer: layer)
      }
    }
    for level in up.indices {
      for layer in up[level].layers.indices {
        self.up[level].layers[layer].inputChannels = inputChannels(up: level, layer: layer)
      }
    }
  }

  // MARK: - Input channels in diffusers

  private func inputs(ofDown level: Int) -> Int { down[max(0, level - 1)].channels }

  /// Diffusers gives the mid block as many channels as the innermost level.
  private func inputs(ofUp level: Int) -> Int { up[max(0, level - 1)].channels }

  private func inputChannels(down level: Int, layer: Int) -> [Int] {
    [layer == 0 ? inputs(ofDown: level) : down[level].channels]
  }

  /// The last resnet of an up level reads the skip connection from before the mirrored level, and
  /// the others read skip connections of the level itself.
  private func inputChannels(up level: Int, layer: Int) -> [Int] {
    let isLast = layer == up[level].layers.count - 1
    let skip = isLast ? up[min(level + 1, up.count - 1)].channels : up[level].channels
    return [layer == 0 ? inputs(ofUp: level) : up[level].channels, skip]
  }

  /// The first block with other input channels than in the teacher; `nil` when all match.
  func mismatch() -> StripError.Reason? {
    for level in down.indices {
      if let found = mismatch(down: level) { return found }
    }
    for level in up.indices {
      if let found = mismatch(up: level) { return found }
    }
    if let mid, let inner = down.last, mid.channels != inner.channels {
      return .channels(block: "mid_block", expected: [mid.channels], found: [inner.channels])
    }
    return nil
  }

  func mismatch(down level: Int) -> StripError.Reason? {
    let found = down[level]
    for (place, layer) in found.layers.enumerated() {
      let inputs = inputChannels(down: level, layer: place)
      if layer.inputChannels != inputs {
        return .channels(
          block: "down_blocks.\(found.index).resnets.\(layer.resnet)",
          expected: layer.inputChannels,
          found: inputs)
      }
    }
    // A level without resnets does not change the number of channels.
    let inputs = inputs(ofDown: level)
    if found.layers.isEmpty, inputs != found.channels {
      return .channels(
        block: "down_blocks.\(found.index)" + (found.hasResampler ? ".downsamplers.0" : ""),
        expected: [found.channels], found: [inputs])
    }
    return nil
  }

  func mismatch(up level: Int) -> StripError.Reason? {
    for (place, layer) in up[level].layers.enumerated() {
      let inputs = inputChannels(up: level, layer: place)
      if layer.inputChannels != inputs {
        return .channels(
          block: "up_blocks.\(up[level].index).resnets.\(layer.resnet)",
          expected: layer.inputChannels,
          found: inputs)
      }
    }
    return nil
  }

  // MARK: - Names

  /// The student's blocks, each with the block of the teacher that it comes from, by their names in
  /// diffusers.
  var sources: [(student: String, teacher: String)] {
    var sources: [(String, String)] = []
    func add(_ attention: Attention, student: String, teacher: String) {
      sources.append((student, teacher))
      for (place, block) in attention.blocks.enumerated() {
        sources.append(
          ("\(student).transformer_blocks.\(place)", "\(teacher).transformer_blocks.\(block)"))
      }
    }
    func add(_ level: Level, place: Int, side: String, resampler: String) {
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
      if level.hasResampler {
        sources.append(("\(student).\(resampler)", "\(teacher).\(resampler)"))
      }
    }
    for (place, level) in down.enumerated() {
      add(level, place: place, side: "down_blocks", resampler: "downsamplers.0")
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
      add(level, place: place, side: "up_blocks", resampler: "upsamplers.0")
    }
    return sources
  }

  /// The student's attentions that are identities, by the student's names.
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
      _ index: Int, channels: Int, layers: Int, depths: [Int], hasResampler: Bool
    ) -> Level {
      let layers = (0..<layers).map { layer in
        Layer(
          resnet: layer,
          attention: layer < depths.count
            ? Attention(index: layer, blocks: Array(0..<depths[layer])) : nil)
      }
      return Level(index: index, channels: channels, layers: layers, hasResampler: hasResampler)
    }
    let last = config.levels - 1
    let down = (0...last).map { index in
      level(
        index, channels: config.blockOutChannels[index], layers: config.layersPerBlock[index],
        depths: config.downTransformerLayers[index], hasResampler: index < last)
    }
    let up = (0...last).map { index in
      level(
        index, channels: config.blockOutChannels[last - index],
        layers: config.layersPerBlock[last - index] + 1,
        depths: config.upTransformerLayers[index], hasResampler: index < last)
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
