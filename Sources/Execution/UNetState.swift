package import Models
internal import Tensors

/// A part of a U-Net's call that runs as a whole.
package enum UNetStage: Hashable, Sendable {
  /// A resnet of a down block, with its transformer.
  case down(block: Int, Int)
  case downsampler(block: Int)
  /// A resnet of the mid block, with the transformer before it.
  case middle(Int)
  /// A resnet of an up block, with its transformer.
  case up(block: Int, Int)
  case upsampler(block: Int)

  /// The stages between the first and the last convolution, in the order in which they run.
  package static func stages(of spec: UNetSpec) -> [UNetStage] {
    var stages: [UNetStage] = []
    for (block, spec) in spec.downBlocks.enumerated() {
      stages += spec.resnets.indices.map { .down(block: block, $0) }
      if spec.downsampler != nil { stages.append(.downsampler(block: block)) }
    }
    if let middle = spec.midBlock { stages += middle.resnets.indices.map { .middle($0) } }
    for (block, spec) in spec.upBlocks.enumerated() {
      stages += spec.resnets.indices.map { .up(block: block, $0) }
      if spec.upsampler != nil { stages.append(.upsampler(block: block)) }
    }
    return stages
  }

  /// The index of the stage that runs a module, in ``stages(of:)``; of a block, its first stage.
  ///
  /// - Parameter module: `down_blocks.0.resnets.1.conv1`, `mid_block`.
  /// - Returns: `nil` for modules that run before all stages; the number of stages for those that run
  ///   after all of them.
  package static func index(of module: String, in spec: UNetSpec) -> Int? {
    let stages = stages(of: spec)
    if module.hasPrefix("conv_norm_out") || module.hasPrefix("conv_out") { return stages.count }
    let parts = module.split(separator: ".")
    func number(_ place: Int) -> Int? { parts.indices.contains(place) ? Int(parts[place]) : nil }
    let first = parts.count < 3 ? 0 : nil
    let stage: UNetStage?
    switch parts.first {
    case "down_blocks":
      stage = number(1).flatMap { block in
        parts.count > 2 && parts[2] == "downsamplers"
          ? .downsampler(block: block) : (number(3) ?? first).map { .down(block: block, $0) }
      }
    case "mid_block":
      stage = (number(2) ?? first).map { .middle(parts.contains("attentions") ? $0 + 1 : $0) }
    case "up_blocks":
      stage = number(1).flatMap { block in
        parts.count > 2 && parts[2] == "upsamplers"
          ? .upsampler(block: block) : (number(3) ?? first).map { .up(block: block, $0) }
      }
    default: stage = nil
    }
    return stage.flatMap { stages.firstIndex(of: $0) }
  }
}

/// The activations between two stages of a U-Net's call.
///
/// A U-Net whose first layers have the same weights can continue from the state of another.
package struct UNetState: Sendable {
  /// The index of the next stage.
  package internal(set) var stage: Int
  /// The input of the next stage, [B, C, h, w].
  var x: Tensor
  /// The skip connections from the down blocks to the up blocks, last in, first out.
  var skips: [Tensor]

  /// Bytes of the activations.
  package var byteCount: Int {
    (skips.reduce(x.values.count) { $0 + $1.values.count }) * MemoryLayout<Float>.stride
  }

  mutating func takeX() -> Tensor {
    let taken = x
    x = Tensor(shape: [0], values: [])
    return taken
  }
}
