internal import ModelSources

/// The module tree of a U-Net, in execution order.
package struct UNetSpec: Hashable, Sendable {
  /// A down block. Each attention follows the resnet of the same index. There are as many
  /// attentions as resnets, or none.
  package struct DownBlock: Hashable, Sendable {
    package let name: String
    package let resnets: [ResnetSpec]
    package let attentions: [TransformerSpec]
    package let downsampler: ResamplerSpec?
  }

  /// The mid block: `resnets[0]`, then each attention followed by the next resnet.
  package struct MidBlock: Hashable, Sendable {
    package let name: String
    package let resnets: [ResnetSpec]
    package let attentions: [TransformerSpec]
  }

  /// An up block. Each resnet also takes a skip connection: the output of a resnet, a downsampler
  /// or `conv_in`.
  package struct UpBlock: Hashable, Sendable {
    package let name: String
    package let resnets: [ResnetSpec]
    package let attentions: [TransformerSpec]
    package let upsampler: ResamplerSpec?
  }

  /// diffusers' `Timesteps`: the sinusoidal embedding of a number.
  package struct SineEmbedding: Hashable, Sendable {
    package let width: Int
    /// Whether cosines come first.
    package let flipSinToCos: Bool
    package let freqShift: Double
  }

  /// diffusers' `TimestepEmbedding`: two linear layers with SiLU between them.
  package struct Embedding: Hashable, Sendable {
    package let linear1: LinearSpec
    package let linear2: LinearSpec
    /// `cond_proj`, the projection of the guidance embedding in latent consistency models.
    package let conditionProjection: LinearSpec?
  }

  /// SDXL's embedding of pooled text and sizes.
  package struct AddedEmbedding: Hashable, Sendable {
    package let sines: SineEmbedding
    package let inputWidth: Int
    package let embedding: Embedding
  }

  /// Every layer with weights, in the order of the tree.
  package let modules: [ModuleSpec]

  package let centerInputSample: Bool
  package let inChannels: Int
  package let textWidth: Int
  package let convIn: ConvolutionSpec
  package let timeSines: SineEmbedding
  package let timeEmbedding: Embedding
  package let addedEmbedding: AddedEmbedding?
  package let downBlocks: [DownBlock]
  package let midBlock: MidBlock?
  package let upBlocks: [UpBlock]
  package let convNormOut: GroupNormSpec
  package let convOut: ConvolutionSpec

  package init(_ config: UNetConfig) {
    var list = ModuleList()
    let builder = Builder(config: config)
    centerInputSample = config.centerInputSample
    inChannels = config.inChannels
    textWidth = config.textWidth

    list.begin("conv_in")
    convIn = list.convolution(
      "", from: config.inChannels, to: config.blockOutChannels[0], kernel: config.convInKernel,
      role: .firstConvolution)
    timeSines = SineEmbedding(
      width: config.blockOutChannels[0], flipSinToCos: config.flipSinToCos,
      freqShift: config.freqShift)
    timeEmbedding = builder.embedding(
      "time_embedding", from: timeSines.width, condition: config.timeCondProjDim, in: &list)
    addedEmbedding = config.additionEmbedding.map { addition in
      AddedEmbedding(
        sines: SineEmbedding(
          width: addition.timeWidth, flipSinToCos: config.flipSinToCos,
          freqShift: config.freqShift),
        inputWidth: addition.inputWidth,
        embedding: builder.embedding(
          "add_embedding", from: addition.inputWidth, condition: nil, in: &list))
    }
    downBlocks = (0..<config.levels).map { builder.downBlock($0, in: &list) }
    midBlock = config.midBlockType.map { builder.midBlock($0, in: &list) }
    upBlocks = (0..<config.levels).map { builder.upBlock($0, in: &list) }
    list.begin("conv_norm_out")
    convNormOut = list.groupNorm(
      "", channels: config.blockOutChannels[0], groups: config.normNumGroups,
      epsilon: config.normEps)
    list.begin("conv_out")
    convOut = list.convolution(
      "", from: config.blockOutChannels[0], to: config.outChannels, kernel: config.convOutKernel,
      role: .lastConvolution)
    modules = list.modules
  }
}

extension UNetConfig {
  /// Every layer of the U-Net with weights, in the order of the tree.
  package var modules: [ModuleSpec] { UNetSpec(self).modules }
}

/// Builds blocks with the widths and depths that diffusers' `UNet2DConditionModel.__init__`
/// derives.
private struct Builder {
  let config: UNetConfig

  private var resnets: ResnetSpec.Style {
    ResnetSpec.Style(
      groups: config.normNumGroups, epsilon: config.normEps, timeWidth: config.timeEmbeddingDim)
  }

  private func transformers(_ level: Int, onlyText: Bool) -> TransformerSpec.Style {
    TransformerSpec.Style(
      width: config.blockOutChannels[level], textWidth: config.crossAttentionDim[level],
      heads: config.attentionHeads[level], groups: config.normNumGroups,
      usesLinear: config.useLinearProjection, onlyText: onlyText)
  }

  func embedding(
    _ name: String, from width: Int, condition: Int?, in list: inout ModuleList
  ) -> UNetSpec.Embedding {
    list.begin(name)
    return UNetSpec.Embedding(
      linear1: list.linear(
        "linear_1", from: width, to: config.timeEmbeddingDim, role: .timeEmbedding),
      linear2: list.linear(
        "linear_2", from: config.timeEmbeddingDim, to: config.timeEmbeddingDim,
        role: .timeEmbedding),
      conditionProjection: condition.map {
        list.linear("cond_proj", from: $0, to: width, bias: false, role: .timeEmbedding)
      })
  }

  func downBlock(_ level: Int, in list: inout ModuleList) -> UNetSpec.DownBlock {
    let name = "down_blocks.\(level)"
    let output = config.blockOutChannels[level]
    var input = level == 0 ? output : config.blockOutChannels[level - 1]
    var resnetSpecs: [ResnetSpec] = []
    var attentions: [TransformerSpec] = []
    for index in 0..<config.layersPerBlock[level] {
      resnetSpecs.append(
        ResnetSpec(
          "\(name).resnets.\(index)", from: input, to: output, style: resnets, in: &list))
      if config.downBlockTypes[level] == .crossAttention {
        attentions.append(
          TransformerSpec(
            "\(name).attentions.\(index)", depth: config.downTransformerLayers[level][index],
            style: transformers(level, onlyText: config.onlyCrossAttention[level]), in: &list))
      }
      input = output
    }
    let isLast = level == config.levels - 1
    return UNetSpec.DownBlock(
      name: name, resnets: resnetSpecs, attentions: attentions,
      downsampler: isLast
        ? nil
        : .down(
          "\(name).downsamplers.0", channels: output, padding: config.downsamplePadding,
          in: &list))
  }

  func midBlock(
    _ type: UNetConfig.MidBlockType, in list: inout ModuleList
  ) -> UNetSpec.MidBlock {
    let level = config.levels - 1
    let width = config.blockOutChannels[level]
    var style = resnets
    style.outputScale = config.midBlockScaleFactor
    var resnetSpecs = [
      ResnetSpec("mid_block.resnets.0", from: width, to: width, style: style, in: &list)
    ]
    var attentions: [TransformerSpec] = []
    if type == .crossAttention {
      // diffusers does not pass `only_cross_attention` to the mid block.
      attentions.append(
        TransformerSpec(
          "mid_block.attentions.0", depth: config.midTransformerLayers,
          style: transformers(level, onlyText: false), in: &list))
      resnetSpecs.append(
        ResnetSpec("mid_block.resnets.1", from: width, to: width, style: style, in: &list))
    }
    return UNetSpec.MidBlock(name: "mid_block", resnets: resnetSpecs, attentions: attentions)
  }

  func upBlock(_ index: Int, in list: inout ModuleList) -> UNetSpec.UpBlock {
    let name = "up_blocks.\(index)"
    let level = config.levels - 1 - index
    let output = config.blockOutChannels[level]
    /// The widths of the deeper level and of the outer level, whose skip connection comes last.
    let below = config.blockOutChannels[min(level + 1, config.levels - 1)]
    let outer = config.blockOutChannels[max(level - 1, 0)]
    let count = config.layersPerBlock[level] + 1
    var resnetSpecs: [ResnetSpec] = []
    var attentions: [TransformerSpec] = []
    for layer in 0..<count {
      let skip = layer == count - 1 ? outer : output
      resnetSpecs.append(
        ResnetSpec(
          "\(name).resnets.\(layer)", from: (layer == 0 ? below : output) + skip, to: output,
          style: resnets, in: &list))
      if config.upBlockTypes[index] == .crossAttention {
        attentions.append(
          TransformerSpec(
            "\(name).attentions.\(layer)", depth: config.upTransformerLayers[index][layer],
            style: transformers(level, onlyText: config.onlyCrossAttention[level]), in: &list))
      }
    }
    return UNetSpec.UpBlock(
      name: name, resnets: resnetSpecs, attentions: attentions,
      upsampler: level == 0
        ? nil : .up("\(name).upsamplers.0", channels: output, in: &list))
  }
}
