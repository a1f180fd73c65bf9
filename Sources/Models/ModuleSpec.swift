package import Tensors

/// A layer with weights: one entry of a component's module list, over which binding, stripping,
/// calibration and quantization iterate.
package struct ModuleSpec: Hashable, Sendable {
  /// The operation of a layer.
  package enum Kind: String, Sendable {
    case convolution
    case linear
    case groupNorm
    case layerNorm
    case embedding

    /// Whether the layer is a matrix product with a weight of output channels by inputs. Only such
    /// layers can be quantized.
    package var isMatrix: Bool { self == .convolution || self == .linear }
  }

  /// The position of a layer in the model, where its treatment depends on it.
  package enum Role: String, CaseIterable, Sendable {
    /// The first layer, whose input is a latent or an image.
    case firstConvolution
    /// The last layer of a U-Net, encoder or decoder.
    case lastConvolution
    /// A layer of the time embedding, or of SDXL's embedding of pooled text and sizes.
    case timeEmbedding
    /// The projection of the time embedding in a resnet.
    case timeProjection
    case convolution
    case linear
    case norm
    case embedding
  }

  /// diffusers' name within the component: `down_blocks.0.resnets.0.conv1`.
  package let name: String
  package let kind: Kind
  package let role: Role
  /// The block that contains the layer and whose output observers see: `down_blocks.0.resnets.0`,
  /// `conv_in`, `text_model.encoder.layers.3`.
  package let block: String
  package let weight: TensorSpec
  /// `nil` for a layer without bias.
  package let bias: TensorSpec?
  /// How a convolution steps over its input; `nil` for other layers.
  package let window: ConvolutionWindow?

  package init(
    name: String, kind: Kind, role: Role, block: String, weight: TensorSpec, bias: TensorSpec?,
    window: ConvolutionWindow? = nil
  ) {
    self.name = name
    self.kind = kind
    self.role = role
    self.block = block
    self.weight = weight
    self.bias = bias
    self.window = window
  }

  package var tensors: [TensorSpec] { [weight] + (bias.map { [$0] } ?? []) }

  package var parameterCount: Int { tensors.reduce(0) { $0 + $1.shape.count } }

  /// A name that layers with the same input share: the projections of a self-attention to queries,
  /// keys and values, those of all cross-attentions to keys and values, which take the text, and those
  /// of the time embedding in all resnets. Other layers have their own.
  package var inputName: String {
    let parts = name.split(separator: ".")
    guard let last = parts.last, let parent = parts.dropLast().last else { return name }
    switch (parent, last) {
    case ("attn1", "to_q"), ("attn1", "to_k"), ("attn1", "to_v"):
      return parts.dropLast().joined(separator: ".") + ".to_q"
    case ("attn2", "to_k"), ("attn2", "to_v"): return "encoder_hidden_states"
    case (_, "time_emb_proj"): return "temb"
    default: return name
    }
  }
}

/// The name and shape of a tensor that a component must have.
package struct TensorSpec: Hashable, Sendable {
  /// Name within the component: `down_blocks.0.resnets.0.conv1.weight`.
  package let name: String
  package let shape: Shape

  package init(name: String, shape: Shape) {
    self.name = name
    self.shape = shape
  }
}

extension [ModuleSpec] {
  /// All tensors, in the order of the modules.
  package var tensors: [TensorSpec] { flatMap(\.tensors) }

  package var parameterCount: Int { reduce(0) { $0 + $1.parameterCount } }

  /// The blocks in order, each with its number of parameters.
  package var blocks: [(name: String, parameters: Int)] {
    var blocks: [(name: String, parameters: Int)] = []
    for module in self {
      // The modules of a block are adjacent.
      if blocks.last?.name != module.block { blocks.append((module.block, 0)) }
      blocks[blocks.count - 1].parameters += module.parameterCount
    }
    return blocks
  }
}

// MARK: - Layers

/// How a convolution steps over its input.
package struct ConvolutionWindow: Hashable, Sendable {
  package let stride: Int
  /// Zeros above and left of the image.
  package let paddingBefore: Int
  /// Zeros below and right of the image.
  package let paddingAfter: Int

  package init(stride: Int, paddingBefore: Int, paddingAfter: Int) {
    self.stride = stride
    self.paddingBefore = paddingBefore
    self.paddingAfter = paddingAfter
  }
}

/// A two-dimensional convolution with a square kernel.
package struct ConvolutionSpec: Hashable, Sendable {
  /// Its ``ModuleSpec/window`` is ``window``.
  package let module: ModuleSpec
  package let window: ConvolutionWindow
}

/// A matrix product over the last axis, with an optional bias.
package struct LinearSpec: Hashable, Sendable {
  package let module: ModuleSpec
}

/// A group norm with weight and bias.
package struct GroupNormSpec: Hashable, Sendable {
  package let module: ModuleSpec
  package let groups: Int
  package let epsilon: Float
}

/// A layer norm with weight and bias.
package struct LayerNormSpec: Hashable, Sendable {
  package let module: ModuleSpec
  package let epsilon: Float
}

/// A lookup table with one row per token or position.
package struct EmbeddingSpec: Hashable, Sendable {
  package let module: ModuleSpec
}

/// Builds the module list of a component while its tree is built.
///
/// Layer specs are made only by this type, which also records their modules. So the specs, which
/// execution uses, and the list, which binding, stripping and quantization use, always agree.
struct ModuleList {
  private(set) var modules: [ModuleSpec] = []
  private var block = ""

  /// Starts a block, to which all following layers belong.
  mutating func begin(_ block: String) { self.block = block }

  /// - Parameter part: the layer's name within the block; empty where the block is a single layer.
  private mutating func record(
    _ part: String, _ kind: ModuleSpec.Kind, _ role: ModuleSpec.Role, weight: Shape, bias: Bool,
    window: ConvolutionWindow? = nil
  ) -> ModuleSpec {
    let name = part.isEmpty ? block : block + "." + part
    let module = ModuleSpec(
      name: name, kind: kind, role: role, block: block,
      weight: TensorSpec(name: name + ".weight", shape: weight),
      bias: bias ? TensorSpec(name: name + ".bias", shape: [weight[0]]) : nil, window: window)
    modules.append(module)
    return module
  }

  mutating func convolution(
    _ part: String, from input: Int, to output: Int, kernel: Int = 3, stride: Int = 1,
    role: ModuleSpec.Role = .convolution
  ) -> ConvolutionSpec {
    convolution(
      part, role, weight: [output, input, kernel, kernel],
      ConvolutionWindow(
        stride: stride, paddingBefore: (kernel - 1) / 2, paddingAfter: (kernel - 1) / 2))
  }

  /// A convolution that halves both sides. With `padding` 0, as in diffusers' `Downsample2D`, one
  /// row and one column of zeros follow the image and none precede it.
  mutating func downsampling(_ part: String, channels: Int, padding: Int) -> ConvolutionSpec {
    convolution(
      part, .convolution, weight: [channels, channels, 3, 3],
      ConvolutionWindow(stride: 2, paddingBefore: padding, paddingAfter: max(1, padding)))
  }

  private mutating func convolution(
    _ part: String, _ role: ModuleSpec.Role, weight: Shape, _ window: ConvolutionWindow
  ) -> ConvolutionSpec {
    ConvolutionSpec(
      module: record(part, .convolution, role, weight: weight, bias: true, window: window),
      window: window)
  }

  mutating func linear(
    _ part: String, from input: Int, to output: Int, bias: Bool = true,
    role: ModuleSpec.Role = .linear
  ) -> LinearSpec {
    LinearSpec(module: record(part, .linear, role, weight: [output, input], bias: bias))
  }

  mutating func groupNorm(
    _ part: String, channels: Int, groups: Int, epsilon: Double
  ) -> GroupNormSpec {
    GroupNormSpec(
      module: record(part, .groupNorm, .norm, weight: [channels], bias: true), groups: groups,
      epsilon: Float(epsilon))
  }

  mutating func layerNorm(_ part: String, width: Int, epsilon: Double = 1e-5) -> LayerNormSpec {
    LayerNormSpec(
      module: record(part, .layerNorm, .norm, weight: [width], bias: true), epsilon: Float(epsilon))
  }

  mutating func embedding(_ part: String, rows: Int, width: Int) -> EmbeddingSpec {
    EmbeddingSpec(module: record(part, .embedding, .embedding, weight: [rows, width], bias: false))
  }
}
