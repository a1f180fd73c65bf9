import Kernels
import ModelSources
import Models
internal import Support
import Tensors

/// Reads a tensor of the module tree and checks its shape.
///
/// - Throws: what `weights` throws, ``WeightError``, or `CancellationError`.
private func load(_ tensor: TensorSpec, from weights: any WeightSource) throws -> StoredTensor {
  // Preparing the weights of a large model for int8 takes many seconds.
  try Cancellation.check()
  let stored = try weights.tensor(tensor.name)
  guard stored.shape == tensor.shape else {
    throw WeightError(
      location: weights.location, tensor: tensor.name,
      found: "found \(stored.shape), expected \(tensor.shape)")
  }
  return stored
}

/// Reads the stored weight of a module, and its bias as float32.
private func load(
  _ module: ModuleSpec, from weights: any WeightSource
) throws -> (weight: StoredTensor, bias: [Float]?) {
  let weight = try load(module.weight, from: weights)
  guard let bias = module.bias else { return (weight, nil) }
  return (weight, try load(bias, from: weights).floats())
}

/// The weight of one layer in the format in which it is multiplied.
private enum LayerWeight: Sendable {
  /// The stored weight. `winograd`: whether the Winograd algorithm may be used. `gated`: whether
  /// the second half of the outputs gates the first half.
  case stored(StoredTensor, winograd: Bool, gated: Bool)
  /// Packed int8 codes.
  case int8(Int8Weight)

  /// - Parameter arithmetic: int8 applies to layers whose sums are long enough to be faster with
  ///   it, and not so long that they could overflow.
  init(_ weight: StoredTensor, _ arithmetic: Arithmetic, gated: Bool = false) {
    if arithmetic == .int8, (64...Int8Weight.longestRow).contains(weight.shape.rowLength),
      weight.shape.rows >= 16
    {
      self = .int8(Int8Weight(weight, gated: gated))
    } else {
      self = .stored(weight, winograd: arithmetic != .f32Direct, gated: gated)
    }
  }
}

/// PyTorch's `Conv2d`.
struct Convolution: Sendable {
  private let name: String
  private let stride: Int
  private let padding: Padding
  private let weight: LayerWeight
  private let bias: [Float]?

  init(
    _ spec: ConvolutionSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic
  ) throws {
    name = spec.module.name
    stride = spec.window.stride
    padding = Padding(
      top: spec.window.paddingBefore, left: spec.window.paddingBefore,
      bottom: spec.window.paddingAfter, right: spec.window.paddingAfter)
    let (weight, bias) = try load(spec.module, from: weights)
    self.weight = LayerWeight(weight, arithmetic)
    self.bias = bias
  }

  /// Convolves [B, C, H, W] to [B, O, H', W'].
  ///
  /// - Parameters:
  ///   - channelBias: numbers that are added to the channels of the result, [1 or B, O]. A residual
  ///     block adds the time embedding this way.
  ///   - residual: a tensor that is added to the result.
  /// - Throws: `CancellationError`. Every convolution and linear layer checks, because a whole block
  ///   of a large image takes seconds.
  func callAsFunction(
    _ x: Tensor, channelBias: Tensor? = nil, residual: Tensor? = nil,
    _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    try Cancellation.check()
    observer?.willRun(module: name, input: x)
    // Numbers that are the same for all images are added to the bias.
    let shared = channelBias.flatMap { $0.shape[0] == 1 || $0.hasEqualRows ? $0 : nil }
    var bias = bias
    if let shared {
      let outputs = shared.shape[1]
      bias = (0..<outputs).map { (self.bias?[$0] ?? 0) + shared.values[$0] }
    }
    let output =
      switch weight {
      case .stored(let weight, let winograd, _):
        convolve(
          x, weight: weight, bias: bias, residual: residual, stride: stride, padding: padding,
          winograd: winograd)
      case .int8(let weight):
        convolve(
          x, weight: weight, bias: bias, residual: residual, stride: stride, padding: padding)
      }
    guard let channelBias, shared == nil else { return output }
    return addChannelBias(output, channelBias)
  }
}

extension Tensor {
  fileprivate var hasEqualRows: Bool {
    let width = shape.rowLength
    return (1..<shape[0]).allSatisfy { row in
      values[row * width..<(row + 1) * width] == values[..<width]
    }
  }
}

/// PyTorch's `Linear`, for features in planes.
struct Linear: Sendable {
  private let name: String
  private let weight: LayerWeight
  private let bias: [Float]?

  /// - Parameter gated: whether the second half of the outputs gates the first half, by GELU.
  init(
    _ spec: LinearSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic, gated: Bool = false
  ) throws {
    name = spec.module.name
    let (weight, bias) = try load(spec.module, from: weights)
    self.weight = LayerWeight(weight, arithmetic, gated: gated)
    self.bias = bias
  }

  /// Maps [B, in, ...] to [B, out, ...], or to [B, out / 2, ...] if gated.
  ///
  /// - Parameter residual: a tensor that is added to the result.
  /// - Throws: `CancellationError`.
  func callAsFunction(
    _ x: Tensor, residual: Tensor? = nil, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    try Cancellation.check()
    observer?.willRun(module: name, input: rowsOfFeatures(x))
    return switch weight {
    case .stored(let weight, _, let gated):
      project(x, weight: weight, bias: bias, residual: residual, gated: gated)
    case .int8(let weight):
      project(x, weight: weight, bias: bias, residual: residual)
    }
  }
}

/// Transposes planes of features to a row for each token, the layout for observers.
private func rowsOfFeatures(_ x: Tensor) -> Tensor {
  if x.shape.rank == 2 { return x }
  let features = x.shape[1]
  let tokens = x.shape.extents.dropFirst(2).reduce(1, *)
  return transposed(x.reshaped([x.shape[0], features, tokens]))
    .reshaped([x.shape[0] * tokens, features])
}

/// PyTorch's `GroupNorm`.
struct GroupNorm: Sendable {
  private let groups: Int
  private let epsilon: Float
  private let scale: [Float]
  private let bias: [Float]

  init(_ spec: GroupNormSpec, _ weights: any WeightSource) throws {
    groups = spec.groups
    epsilon = spec.epsilon
    let (weight, bias) = try load(spec.module, from: weights)
    scale = weight.floats()
    self.bias = bias ?? []
  }

  /// - Parameter silu: whether to apply SiLU in the same pass.
  func callAsFunction(_ x: Tensor, silu: Bool = false) -> Tensor {
    groupNorm(x, groups: groups, scale: scale, bias: bias, epsilon: epsilon, silu: silu)
  }

  /// Normalizes `x` in place.
  func apply(to x: inout Tensor, silu: Bool) {
    groupNorm(inPlace: &x, groups: groups, scale: scale, bias: bias, epsilon: epsilon, silu: silu)
  }
}

/// PyTorch's `LayerNorm`, for features in planes.
struct LayerNorm: Sendable {
  private let epsilon: Float
  private let scale: [Float]
  private let bias: [Float]

  init(_ spec: LayerNormSpec, _ weights: any WeightSource) throws {
    epsilon = spec.epsilon
    let (weight, bias) = try load(spec.module, from: weights)
    scale = weight.floats()
    self.bias = bias ?? []
  }

  func callAsFunction(_ x: Tensor) -> Tensor {
    layerNorm(x, scale: scale, bias: bias, epsilon: epsilon)
  }
}

/// PyTorch's `Embedding`. Rows of the table are widened when they are looked up.
struct Embedding: Sendable {
  private let table: StoredTensor

  init(_ spec: EmbeddingSpec, _ weights: any WeightSource) throws {
    table = try load(spec.module, from: weights).weight
  }

  var rows: Int { table.shape.rows }
  var width: Int { table.shape.rowLength }

  /// - Precondition: each of `rows` is a row of the table.
  func callAsFunction(_ rows: [Int]) -> Tensor {
    let width = width
    let values = [Float](capacity: rows.count * width) { output in
      var row = [Float](repeating: 0, count: width)
      for index in rows {
        var span = row.mutableSpan
        table.widen(rows: index..<index + 1, into: &span)
        for value in row { output.append(value) }
      }
    }
    return Tensor(shape: [rows.count, width], values: values)
  }
}
