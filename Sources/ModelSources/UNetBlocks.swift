/// The classes of blocks in a config of `UNet2DConditionModel`, with diffusers' defaults.
package enum UNetBlocks {
  /// The class of a down block.
  package enum Down: String, CaseIterable, Sendable {
    case crossAttention = "CrossAttnDownBlock2D"
    case plain = "DownBlock2D"

    /// `down_block_types` of a config without that member.
    package static let standard: [Down] = [
      .crossAttention, .crossAttention, .crossAttention, .plain,
    ]
  }

  /// The class of an up block.
  package enum Up: String, CaseIterable, Sendable {
    case crossAttention = "CrossAttnUpBlock2D"
    case plain = "UpBlock2D"

    /// `up_block_types` of a config without that member.
    package static let standard: [Up] = [.plain, .crossAttention, .crossAttention, .crossAttention]
  }

  /// The class of the mid block.
  package enum Mid: String, CaseIterable, Sendable {
    /// Resnet, attention, resnet.
    case crossAttention = "UNetMidBlock2DCrossAttn"
    /// One resnet.
    case plain = "UNetMidBlock2D"

    /// `mid_block_type` of a config without that member.
    package static let standard = Mid.crossAttention
  }

  /// `layers_per_block` of a config without that member.
  package static let standardLayers = 2
}
