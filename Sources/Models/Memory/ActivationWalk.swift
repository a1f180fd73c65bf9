import ModelSources
import Support
import Tensors

/// The product of sizes, at most 2^48 bytes or numbers, which is more than any machine has. The
/// sizes of a damaged config may overflow.
func product(_ factors: Int...) -> Int {
  let limit = 1 << 48
  return factors.reduce(1) { partial, factor in
    let (next, overflow) = partial.multipliedReportingOverflow(by: factor)
    return overflow ? limit : min(next, limit)
  }
}

/// Counts the bytes of the feature maps that a program holds at once while it runs a component.
///
/// It follows the layers in the order of Execution, and holds each tensor as long as diffusers' code
/// does: a function's input until the function returns, and a result until its name is assigned
/// again. Programs that release tensors earlier need somewhat less.
struct ActivationWalk {
  /// A tensor in memory.
  struct Held {
    let bytes: Int
  }

  /// The tokens of a prompt that CLIP reads.
  static let words = 77

  /// The most bytes held at once.
  private(set) var peak = 0
  private var live = 0
  private let program: ProgramMemory
  /// Images that go through the component at once.
  private let batch: Int
  /// Bytes of a number.
  private let width: Int
  /// Whether linear layers multiply int8 weights by int8 activations.
  private let multipliesIntegers: Bool

  init(
    _ program: ProgramMemory, batch: Int, width: Int, multipliesIntegers: Bool = false
  ) {
    self.program = program
    self.batch = batch
    self.width = width
    self.multipliesIntegers = multipliesIntegers
  }

  // MARK: - Tensors

  /// A new tensor of `count` numbers for each image.
  mutating func make(_ count: Int) -> Held { make(count, width: width) }

  private mutating func make(_ count: Int, width: Int) -> Held {
    let held = Held(bytes: product(batch, count, width))
    live += held.bytes
    peak = max(peak, live)
    return held
  }

  mutating func release(_ tensors: Held...) {
    for tensor in tensors { live -= tensor.bytes }
  }

  /// A new tensor of the size of `tensor`, which is released afterwards.
  private mutating func replace(_ tensor: Held) -> Held {
    live += tensor.bytes
    peak = max(peak, live)
    release(tensor)
    return tensor
  }

  // MARK: - Layers

  /// - Parameters:
  ///   - input: the input, where it is released when it is no longer needed.
  ///   - pixels: pixels of the output.
  mutating func convolution(
    _ spec: ConvolutionSpec, releasing input: Held? = nil, pixels: Int
  ) -> Held {
    let shape = spec.module.weight.shape
    var unfolded: Held?
    var input = input
    if program.convolutions == .unfolded {
      unfolded = make(product(shape.rowLength, pixels), width: 2)
      if let released = input { release(released) }
      input = nil
    }
    let output = make(product(shape.rows, pixels))
    for tensor in [unfolded, input].compactMap(\.self) { release(tensor) }
    return output
  }

  private mutating func linear(_ spec: LinearSpec, tokens: Int) -> Held {
    let shape = spec.module.weight.shape
    guard multipliesIntegers else { return make(product(shape.rows, tokens)) }
    let rounded = make(product(shape.rowLength, tokens), width: 1)
    let sums = make(product(shape.rows, tokens), width: 4)
    let output = make(product(shape.rows, tokens))
    release(rounded, sums)
    return output
  }

  /// A group norm and SiLU.
  mutating func activatedNorm(_ spec: GroupNormSpec, pixels: Int) -> Held {
    replace(make(product(spec.module.weight.shape.count, pixels)))
  }

  /// diffusers' `ResnetBlock2D`. The input stays.
  mutating func resnet(_ spec: ResnetSpec, pixels: Int) -> Held {
    let activated = activatedNorm(spec.norm1, pixels: pixels)
    var hidden = convolution(spec.conv1, releasing: activated, pixels: pixels)
    if spec.timeProjection != nil { hidden = replace(hidden) }
    // The second norm and SiLU.
    hidden = replace(replace(hidden))
    hidden = convolution(spec.conv2, releasing: hidden, pixels: pixels)
    let shortcut = spec.shortcut.map { convolution($0, pixels: pixels) }
    // The sum of both paths is divided by a scale, which may be 1.
    let sum = make(product(spec.conv2.module.weight.shape.rows, pixels))
    let output = replace(sum)
    release(hidden)
    if let shortcut { release(shortcut) }
    return output
  }

  /// Attention of `tokens` queries, up to and with the output projection. The input stays.
  mutating func attention(_ spec: AttentionSpec, tokens: Int) -> Held {
    let keys = spec.attendsToText ? Self.words : tokens
    let query = linear(spec.query, tokens: tokens)
    let key = linear(spec.key, tokens: keys)
    let value = linear(spec.value, tokens: keys)
    var scores: Held?
    if program.scores == .wholeMatrix { scores = make(product(spec.heads, tokens, keys), width: 4) }
    let attended = make(product(spec.query.module.weight.shape.rows, tokens))
    if let scores { release(scores) }
    let output = linear(spec.out, tokens: tokens)
    release(query, key, value, attended)
    return output
  }

  /// diffusers' `Transformer2DModel`. The input stays.
  mutating func transformer(_ spec: TransformerSpec, pixels: Int) -> Held {
    let numbers = product(spec.norm.module.weight.shape.count, pixels)
    let normed = make(numbers)
    var hidden = projection(spec.projectIn, releasing: normed, pixels: pixels)
    for block in spec.blocks {
      let output = transformerBlock(block, numbers: numbers, tokens: pixels)
      release(hidden)
      hidden = output
    }
    return replace(projection(spec.projectOut, releasing: hidden, pixels: pixels))
  }

  private mutating func projection(
    _ spec: TransformerSpec.Projection, releasing input: Held, pixels: Int
  ) -> Held {
    switch spec {
    case .convolution(let spec): return convolution(spec, releasing: input, pixels: pixels)
    case .linear(let spec):
      let output = linear(spec, tokens: pixels)
      release(input)
      return output
    }
  }

  /// diffusers' `BasicTransformerBlock`. The input stays.
  private mutating func transformerBlock(
    _ spec: TransformerBlockSpec, numbers: Int, tokens: Int
  ) -> Held {
    let norm1 = make(numbers)
    let attention1 = attention(spec.attention1, tokens: tokens)
    let sum1 = make(numbers)
    let norm2 = make(numbers)
    release(norm1)
    let attention2 = attention(spec.attention2, tokens: tokens)
    release(attention1)
    let sum2 = make(numbers)
    release(sum1)
    let norm3 = make(numbers)
    release(norm2)
    // GEGLU: value and gate, the gate's GELU, and the product.
    let gated = linear(spec.feedForwardIn, tokens: tokens)
    let inner = product(spec.feedForwardOut.module.weight.shape.rowLength, tokens)
    let gelu = make(inner)
    let activated = make(inner)
    release(gated, gelu)
    let output = linear(spec.feedForwardOut, tokens: tokens)
    release(activated)
    let sum3 = make(numbers)
    release(output, norm3, sum2, attention2)
    return sum3
  }
}
