package import Tensors

/// A layer with weights, as one entry of a component's list: what quantization, stripping,
/// calibration and binding go through.
package struct ModuleSpec: Hashable, Sendable {
  /// What the layer computes.
  package enum Kind: String, Sendable {
    case convolution
    case linear
    case groupNorm
    case layerNorm
    case embedding

    /// Whether the weight is a matrix of output channels by inputs that a product is taken with,
    /// which is what can be quantized.
    package var isMatrix: Bool { self == .convolution || self == .linear }
  }

  /// The layer's place in the model, as far as its treatment depends on it.
  package enum Role: String, CaseIterable, Sendable {
    /// Takes the component's input: a latent or a picture.
    case firstConvolution
    /// Gives the component's output.
    case lastConvolution
    /// Embeds the timestep, or SDXL's pooled text and sizes, for the whole U-Net.
    case timeEmbedding
    /// Brings the time embedding into one resnet.
    case timeProjection
    case convolution
    case linear
    case norm
    case embedding
  }

  /// Name within the component, in diffusers' words: `down_blocks.0.resnets.0.conv1`.
  package let name: String
  package let kind: Kind
  package let role: Role
  /// The part of the model that it belongs to and whose output observers see:
  /// `down_blocks.0.resnets.0`, `conv_in`, `text_model.encoder.layers.3`.
  package let block: String
  package let weight: TensorSpec
  /// `nil` where the layer has none.
  package let bias: TensorSpec?

  package init(
    name: String, kind: Kind, role: Role, block: String, weight: TensorSpec, bias: TensorSpec?
  ) {
    self.name = name
    self.kind = kind
    self.role = role
    self.block = block
    self.weight = weight
    self.bias = bias
  }

  package var tensors: [TensorSpec] { [weight] + (bias.map { [$0] } ?? []) }

  package var parameterCount: Int { tensors.reduce(0) { $0 + $1.shape.count } }
}

/// A tensor that a component must have.
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

  /// Blocks in order, with the parameters of each.
  package var blocks: [(name: String, parameters: Int)] {
    var blocks: [(name: String, parameters: Int)] = []
    for module in self {
      // Modules of a block follow each other.
      if blocks.last?.name != module.block { blocks.append((module.block, 0)) }
      blocks[blocks.count - 1].parameters += module.parameterCount
    }
    return blocks
  }
}

// MARK: - Layers

/// A two-dimensional convolution with a square kernel.
package struct ConvolutionSpec: Hashable, Sendable {
  package let module: ModuleSpec
  package let stride: Int
  /// Zeros above and left of the picture.
  package let paddingBefore: Int
  /// Zeros below and right of it.
  package let paddingAfter: Int
}

/// A matrix product over the last axis.
package struct LinearSpec: Hashable, Sendable {
  package let module: ModuleSpec
}

package struct GroupNormSpec: Hashable, Sendable {
  package let module: ModuleSpec
  package let groups: Int
  package let epsilon: Float
}

package struct LayerNormSpec: Hashable, Sendable {
  package let module: ModuleSpec
  package let epsilon: Float
}

/// A table with a row for each number that may come.
package struct EmbeddingSpec: Hashable, Sendable {
  package let module: ModuleSpec
}

/// The modules of a component while its tree is built.
///
/// A layer's spec can only be made by this list, which notes its module; so what runs (built from
/// the specs) and what is bound, stripped and quantized (the list) are the same by construction.
struct ModuleList {
  private(set) var modules: [ModuleSpec] = []
  private var block = ""

  /// Starts a block: the layers made from here on are its parts.
  mutating func begin(_ block: String) { self.block = block }

  /// - Parameter part: name within the block; empty where the block is the layer.
  private mutating func note(
    _ part: String, _ kind: ModuleSpec.Kind, _ role: ModuleSpec.Role, weight: Shape, bias: Bool
  ) -> ModuleSpec {
    let name = part.isEmpty ? block : block + "." + part
    let module = ModuleSpec(
      name: name, kind: kind, role: role, block: block,
      weight: TensorSpec(name: name + ".weight", shape: weight),
      bias: bias ? TensorSpec(name: name + ".bias", shape: [weight[0]]) : nil)
    modules.append(module)
    return module
  }

  mutating func convolution(
    _ part: String, from input: Int, to output: Int, kernel: Int = 3, stride: Int = 1,
    role: ModuleSpec.Role = .convolution
  ) -> ConvolutionSpec {
    ConvolutionSpec(
      module: note(
        part, .convolution, role, weight: [output, input, kernel, kernel], bias: true),
      stride: stride, paddingBefore: (kernel - 1) / 2, paddingAfter: (kernel - 1) / 2)
  }

  /// A convolution that halves both sides. With `padding` 0 one row and one column of zeros follow
  /// the picture, and none precede it, as diffusers' `Downsample2D` does.
  mutating func downsampling(_ part: String, channels: Int, padding: Int) -> ConvolutionSpec {
    ConvolutionSpec(
      module: note(
        part, .convolution, .convolution, weight: [channels, channels, 3, 3], bias: true),
      stride: 2, paddingBefore: padding, paddingAfter: max(1, padding))
  }

  mutating func linear(
    _ part: String, from input: Int, to output: Int, bias: Bool = true,
    role: ModuleSpec.Role = .linear
  ) -> LinearSpec {
    LinearSpec(module: note(part, .linear, role, weight: [output, input], bias: bias))
  }

  mutating func groupNorm(
    _ part: String, channels: Int, groups: Int, epsilon: Double
  ) -> GroupNormSpec {
    GroupNormSpec(
      module: note(part, .groupNorm, .norm, weight: [channels], bias: true), groups: groups,
      epsilon: Float(epsilon))
  }

  mutating func layerNorm(_ part: String, width: Int, epsilon: Double = 1e-5) -> LayerNormSpec {
    LayerNormSpec(
      module: note(part, .layerNorm, .norm, weight: [width], bias: true), epsilon: Float(epsilon))
  }

  mutating func embedding(_ part: String, rows: Int, width: Int) -> EmbeddingSpec {
    EmbeddingSpec(module: note(part, .embedding, .embedding, weight: [rows, width], bias: false))
  }
}
