/// diffusers' `ResnetBlock2D`: two convolutions, a group norm before each, and a shortcut.
package struct ResnetSpec: Hashable, Sendable {
  package let name: String
  package let norm1: GroupNormSpec
  package let conv1: ConvolutionSpec
  /// `time_emb_proj`; `nil` in the autoencoder.
  package let timeProjection: LinearSpec?
  package let norm2: GroupNormSpec
  package let conv2: ConvolutionSpec
  /// `conv_shortcut`; `nil` where input and output have the same width.
  package let shortcut: ConvolutionSpec?
  /// The divisor of the sum of both paths.
  package let outputScale: Float

  /// Settings that the resnets of a component share.
  struct Style {
    let groups: Int
    let epsilon: Double
    let timeWidth: Int?
    var outputScale = 1.0
  }

  init(
    _ name: String, from input: Int, to output: Int, style: Style, in list: inout ModuleList
  ) {
    list.begin(name)
    self.name = name
    norm1 = list.groupNorm(
      "norm1", channels: input, groups: style.groups, epsilon: style.epsilon)
    conv1 = list.convolution("conv1", from: input, to: output)
    timeProjection = style.timeWidth.map {
      list.linear("time_emb_proj", from: $0, to: output, role: .timeProjection)
    }
    norm2 = list.groupNorm(
      "norm2", channels: output, groups: style.groups, epsilon: style.epsilon)
    conv2 = list.convolution("conv2", from: output, to: output)
    shortcut =
      input == output
      ? nil : list.convolution("conv_shortcut", from: input, to: output, kernel: 1)
    outputScale = Float(style.outputScale)
  }
}

/// diffusers' `Attention`: queries from the image, keys and values from the image or the text.
package struct AttentionSpec: Hashable, Sendable {
  package let query: LinearSpec
  package let key: LinearSpec
  package let value: LinearSpec
  package let out: LinearSpec
  package let heads: Int
  /// Whether keys and values come from the text encoder.
  package let attendsToText: Bool

  /// - Parameter contextWidth: the text width; `nil` for self-attention.
  init(
    _ part: String, width: Int, contextWidth: Int?, heads: Int, bias: Bool,
    in list: inout ModuleList
  ) {
    query = list.linear(part + "to_q", from: width, to: width, bias: bias)
    key = list.linear(part + "to_k", from: contextWidth ?? width, to: width, bias: bias)
    value = list.linear(part + "to_v", from: contextWidth ?? width, to: width, bias: bias)
    out = list.linear(part + "to_out.0", from: width, to: width)
    self.heads = heads
    attendsToText = contextWidth != nil
  }
}

/// diffusers' `BasicTransformerBlock`: self-attention, attention to the text, GEGLU.
package struct TransformerBlockSpec: Hashable, Sendable {
  package let norm1: LayerNormSpec
  package let attention1: AttentionSpec
  package let norm2: LayerNormSpec
  package let attention2: AttentionSpec
  package let norm3: LayerNormSpec
  /// `ff.net.0.proj`: value and gate side by side.
  package let feedForwardIn: LinearSpec
  /// `ff.net.2`.
  package let feedForwardOut: LinearSpec

  init(_ part: String, style: TransformerSpec.Style, in list: inout ModuleList) {
    let width = style.width
    norm1 = list.layerNorm(part + "norm1", width: width)
    attention1 = AttentionSpec(
      part + "attn1.", width: width, contextWidth: style.onlyText ? style.textWidth : nil,
      heads: style.heads, bias: false, in: &list)
    norm2 = list.layerNorm(part + "norm2", width: width)
    attention2 = AttentionSpec(
      part + "attn2.", width: width, contextWidth: style.textWidth, heads: style.heads,
      bias: false, in: &list)
    norm3 = list.layerNorm(part + "norm3", width: width)
    feedForwardIn = list.linear(part + "ff.net.0.proj", from: width, to: 8 * width)
    feedForwardOut = list.linear(part + "ff.net.2", from: 4 * width, to: width)
  }
}

/// diffusers' `Transformer2DModel`: transformer blocks with latent pixels as tokens.
package struct TransformerSpec: Hashable, Sendable {
  /// `proj_in` or `proj_out`, stored as a 1x1 convolution or as a matrix. Both compute the same.
  package enum Projection: Hashable, Sendable {
    case convolution(ConvolutionSpec)
    case linear(LinearSpec)
  }

  package let name: String
  package let norm: GroupNormSpec
  package let projectIn: Projection
  /// Empty where the depth is 0; norm and projections remain.
  package let blocks: [TransformerBlockSpec]
  package let projectOut: Projection

  /// Settings that the transformers of a level share.
  struct Style {
    let width: Int
    let textWidth: Int
    let heads: Int
    let groups: Int
    let usesLinear: Bool
    /// Whether the first attention also attends to the text.
    let onlyText: Bool
  }

  init(_ name: String, depth: Int, style: Style, in list: inout ModuleList) {
    func projection(_ part: String, _ list: inout ModuleList) -> Projection {
      style.usesLinear
        ? .linear(list.linear(part, from: style.width, to: style.width))
        : .convolution(list.convolution(part, from: style.width, to: style.width, kernel: 1))
    }
    list.begin(name)
    self.name = name
    // diffusers' class always uses 1e-6, whatever the config's `norm_eps`.
    norm = list.groupNorm("norm", channels: style.width, groups: style.groups, epsilon: 1e-6)
    projectIn = projection("proj_in", &list)
    blocks = (0..<depth).map {
      TransformerBlockSpec("transformer_blocks.\($0).", style: style, in: &list)
    }
    projectOut = projection("proj_out", &list)
  }
}

/// diffusers' `Downsample2D` or `Upsample2D`: a convolution that halves the image sides, or that
/// follows their doubling.
package struct ResamplerSpec: Hashable, Sendable {
  /// `down_blocks.0.downsamplers.0` or `up_blocks.0.upsamplers.0`.
  package let name: String
  package let conv: ConvolutionSpec

  static func down(
    _ name: String, channels: Int, padding: Int, in list: inout ModuleList
  ) -> ResamplerSpec {
    list.begin(name)
    return ResamplerSpec(
      name: name, conv: list.downsampling("conv", channels: channels, padding: padding))
  }

  static func up(_ name: String, channels: Int, in list: inout ModuleList) -> ResamplerSpec {
    list.begin(name)
    return ResamplerSpec(name: name, conv: list.convolution("conv", from: channels, to: channels))
  }
}
