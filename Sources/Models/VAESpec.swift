/// The module tree of a variational autoencoder, with its encoder and decoder.
package struct VAESpec: Hashable, Sendable {
  /// Single-head self-attention over all pixels, with a group norm before it.
  package struct Attention: Hashable, Sendable {
    package let name: String
    package let norm: GroupNormSpec
    package let attention: AttentionSpec
  }

  /// The mid block: a resnet, an optional attention, a resnet.
  package struct MidBlock: Hashable, Sendable {
    package let name: String
    package let resnet1: ResnetSpec
    /// `nil` where the config's `mid_block_add_attention` is false.
    package let attention: Attention?
    package let resnet2: ResnetSpec
  }

  /// Resnets, then a resampler that halves (encoder) or doubles (decoder) the sides.
  package struct Level: Hashable, Sendable {
    package let name: String
    package let resnets: [ResnetSpec]
    package let resampler: ResamplerSpec?
  }

  /// The encoder, from an image to the mean and log variance of its latent.
  package struct Encoder: Hashable, Sendable {
    package let convIn: ConvolutionSpec
    package let levels: [Level]
    package let midBlock: MidBlock
    package let convNormOut: GroupNormSpec
    package let convOut: ConvolutionSpec
    /// `quant_conv`, on mean and log variance.
    package let quantConv: ConvolutionSpec?
  }

  /// The decoder, from a latent to an image.
  package struct Decoder: Hashable, Sendable {
    /// `post_quant_conv`, on the latent.
    package let postQuantConv: ConvolutionSpec?
    package let convIn: ConvolutionSpec
    package let midBlock: MidBlock
    package let levels: [Level]
    package let convNormOut: GroupNormSpec
    package let convOut: ConvolutionSpec
  }

  package let modules: [ModuleSpec]
  package let encoder: Encoder
  package let decoder: Decoder

  package init(_ config: VAEConfig) {
    var list = ModuleList()
    let builder = Builder(config: config)
    encoder = builder.encoder(in: &list)
    decoder = builder.decoder(in: &list)
    modules = list.modules
  }
}

extension VAEConfig {
  /// Every layer with weights: the encoder's, then the decoder's.
  package var modules: [ModuleSpec] { VAESpec(self).modules }
}

private struct Builder {
  let config: VAEConfig

  /// diffusers' class uses 1e-6 for every norm.
  private static let epsilon = 1e-6

  private var resnets: ResnetSpec.Style {
    ResnetSpec.Style(groups: config.normNumGroups, epsilon: Self.epsilon, timeWidth: nil)
  }

  func encoder(in list: inout ModuleList) -> VAESpec.Encoder {
    let widths = config.blockOutChannels
    let deepest = widths[widths.count - 1]
    list.begin("encoder.conv_in")
    let convIn = list.convolution(
      "", from: config.inChannels, to: widths[0], role: .firstConvolution)
    let levels = widths.indices.map { level in
      let name = "encoder.down_blocks.\(level)"
      let resnets = self.resnets(
        name, count: config.layersPerBlock, from: widths[max(0, level - 1)], to: widths[level],
        in: &list)
      return VAESpec.Level(
        name: name, resnets: resnets,
        resampler: level == widths.count - 1
          ? nil
          : .down("\(name).downsamplers.0", channels: widths[level], padding: 0, in: &list))
    }
    let mid = midBlock("encoder.mid_block", width: deepest, in: &list)
    let norm = normOut("encoder.conv_norm_out", width: deepest, in: &list)
    list.begin("encoder.conv_out")
    let convOut = list.convolution(
      "", from: deepest, to: 2 * config.latentChannels, role: .lastConvolution)
    list.begin("quant_conv")
    let quantConv =
      config.useQuantConv
      ? list.convolution(
        "", from: 2 * config.latentChannels, to: 2 * config.latentChannels, kernel: 1) : nil
    return VAESpec.Encoder(
      convIn: convIn, levels: levels, midBlock: mid, convNormOut: norm, convOut: convOut,
      quantConv: quantConv)
  }

  func decoder(in list: inout ModuleList) -> VAESpec.Decoder {
    let widths = [Int](config.blockOutChannels.reversed())
    list.begin("post_quant_conv")
    let postQuantConv =
      config.usePostQuantConv
      ? list.convolution("", from: config.latentChannels, to: config.latentChannels, kernel: 1)
      : nil
    list.begin("decoder.conv_in")
    let convIn = list.convolution(
      "", from: config.latentChannels, to: widths[0], role: .firstConvolution)
    let mid = midBlock("decoder.mid_block", width: widths[0], in: &list)
    let levels = widths.indices.map { level in
      let name = "decoder.up_blocks.\(level)"
      let resnets = self.resnets(
        name, count: config.layersPerBlock + 1, from: widths[max(0, level - 1)],
        to: widths[level], in: &list)
      return VAESpec.Level(
        name: name, resnets: resnets,
        resampler: level == widths.count - 1
          ? nil : .up("\(name).upsamplers.0", channels: widths[level], in: &list))
    }
    let norm = normOut("decoder.conv_norm_out", width: widths[widths.count - 1], in: &list)
    list.begin("decoder.conv_out")
    let convOut = list.convolution(
      "", from: widths[widths.count - 1], to: config.outChannels, role: .lastConvolution)
    return VAESpec.Decoder(
      postQuantConv: postQuantConv, convIn: convIn, midBlock: mid, levels: levels,
      convNormOut: norm, convOut: convOut)
  }

  private func resnets(
    _ name: String, count: Int, from input: Int, to output: Int, in list: inout ModuleList
  ) -> [ResnetSpec] {
    (0..<count).map { index in
      ResnetSpec(
        "\(name).resnets.\(index)", from: index == 0 ? input : output, to: output,
        style: resnets, in: &list)
    }
  }

  private func midBlock(
    _ name: String, width: Int, in list: inout ModuleList
  ) -> VAESpec.MidBlock {
    let resnet1 = ResnetSpec(
      "\(name).resnets.0", from: width, to: width, style: resnets, in: &list)
    var attention: VAESpec.Attention?
    if config.midBlockAddAttention {
      let attentionName = "\(name).attentions.0"
      list.begin(attentionName)
      attention = VAESpec.Attention(
        name: attentionName,
        norm: list.groupNorm(
          "group_norm", channels: width, groups: config.normNumGroups, epsilon: Self.epsilon),
        attention: AttentionSpec(
          "", width: width, contextWidth: nil, heads: 1, bias: true, in: &list))
    }
    return VAESpec.MidBlock(
      name: name, resnet1: resnet1, attention: attention,
      resnet2: ResnetSpec(
        "\(name).resnets.1", from: width, to: width, style: resnets, in: &list))
  }

  private func normOut(
    _ name: String, width: Int, in list: inout ModuleList
  ) -> GroupNormSpec {
    list.begin(name)
    return list.groupNorm(
      "", channels: width, groups: config.normNumGroups, epsilon: Self.epsilon)
  }
}
