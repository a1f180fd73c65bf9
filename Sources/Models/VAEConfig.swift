package import Support

/// The config of a variational autoencoder (diffusers' `AutoencoderKL`), read with that class's
/// defaults and checked.
package struct VAEConfig: Sendable {
  private enum DownBlockType: String, CaseIterable {
    case encoder = "DownEncoderBlock2D"
  }

  private enum UpBlockType: String, CaseIterable {
    case decoder = "UpDecoderBlock2D"
  }

  /// The config as written, including fields that Decant does not use.
  package let json: JSONObject

  package let sampleSize: ImageSize?
  package let inChannels: Int
  package let outChannels: Int
  package let latentChannels: Int
  package let blockOutChannels: [Int]
  package let layersPerBlock: Int
  package let normNumGroups: Int
  /// The factor by which latents are multiplied before the U-Net.
  package let scalingFactor: Double
  /// Whether the decoder overflows in float16, as SDXL's does.
  package let forceUpcast: Bool
  package let useQuantConv: Bool
  package let usePostQuantConv: Bool
  package let midBlockAddAttention: Bool

  package var levels: Int { blockOutChannels.count }

  /// Image pixels per latent pixel, along one side.
  package var downsamplingFactor: Int { 1 << (levels - 1) }

  package init(json: JSONObject, location: String) throws(ConfigError) {
    let reader = ConfigReader(json: json, location: location)
    try reader.only("_class_name", "AutoencoderKL")
    try reader.only("act_fn", "silu", "swish")
    // These fields define another scale of latents, which Decant does not support.
    for field in ["shift_factor", "latents_mean", "latents_std"] { try reader.only(field, nil) }
    let widths = 1...ConfigReader.widthLimit
    self.json = json
    let downTypes: [DownBlockType] = try reader.names("down_block_types", default: [.encoder])
    let upTypes: [UpBlockType] = try reader.names("up_block_types", default: [.decoder])
    guard upTypes.count == downTypes.count else {
      throw reader.refusal(
        "up_block_types", expected: "\(downTypes.count) blocks, as many as in 'down_block_types'")
    }
    blockOutChannels = try reader.integers(
      "block_out_channels", default: [64], in: widths, count: downTypes.count)
    sampleSize = try reader.sampleSize(default: 32)
    inChannels = try reader.integer("in_channels", default: 3, in: widths)
    outChannels = try reader.integer("out_channels", default: 3, in: widths)
    latentChannels = try reader.integer("latent_channels", default: 4, in: widths)
    layersPerBlock = try reader.integer(
      "layers_per_block", default: 1, in: 1...ConfigReader.layerLimit)
    normNumGroups = try reader.integer("norm_num_groups", default: 32, in: widths)
    scalingFactor = try reader.positive("scaling_factor", default: 0.18215)
    forceUpcast = try reader.truth("force_upcast", default: true)
    useQuantConv = try reader.truth("use_quant_conv", default: true)
    usePostQuantConv = try reader.truth("use_post_quant_conv", default: true)
    midBlockAddAttention = try reader.truth("mid_block_add_attention", default: true)
    for (level, channels) in blockOutChannels.enumerated() where channels % normNumGroups != 0 {
      throw reader.refusal(
        "norm_num_groups", expected: "a divisor of level \(level)'s \(channels) channels")
    }
  }
}
