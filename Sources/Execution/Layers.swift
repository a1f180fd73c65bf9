import Kernels
import ModelSources
import Models
import Tensors

/// A tensor of the module tree, checked again where it is used.
private func load(_ tensor: TensorSpec, from weights: any WeightSource) throws -> StoredTensor {
  let stored = try weights.tensor(tensor.name)
  guard stored.shape == tensor.shape else {
    throw WeightError(
      location: weights.location, tensor: tensor.name,
      found: "found \(stored.shape), expected \(tensor.shape)")
  }
  return stored
}

/// Weight as it is stored, bias widened: the small tensors are kept as float32.
private func load(
  _ module: ModuleSpec, from weights: any WeightSource
) throws -> (weight: StoredTensor, bias: [Float]?) {
  let weight = try load(module.weight, from: weights)
  guard let bias = module.bias else { return (weight, nil) }
  return (weight, try load(bias, from: weights).floats())
}

/// The weight of one layer in the form that it is multiplied in.
private enum LayerWeight: Sendable {
  /// As it is stored; whether Winograd's form may be used, and whether the second half of the
  /// outputs gates the first.
  case stored(StoredTensor, winograd: Bool, gated: Bool)
  case int8(Int8Weight)

  /// - Parameter arithmetic: int8 is for layers with sums long enough to gain by it, and not so
  ///   long that they could overflow.
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
    stride = spec.stride
    padding = Padding(
      top: spec.paddingBefore, left: spec.paddingBefore, bottom: spec.paddingAfter,
      right: spec.paddingAfter)
    let (weight, bias) = try load(spec.module, from: weights)
    self.weight = LayerWeight(weight, arithmetic)
    self.bias = bias
  }

  /// [B, C, H, W] to [B, O, H', W'].
  ///
  /// - Parameters:
  ///   - channelBias: numbers added to the channels of the result, [1 or B, O]: how a residual
  ///     block takes the time embedding.
  ///   - residual: what is added to the result.
  func callAsFunction(
    _ x: Tensor, channelBias: Tensor? = nil, residual: Tensor? = nil,
    _ observer: (any ActivationObserver)?
  ) -> Tensor {
    observer?.willRun(module: name, input: x)
    // One for all images goes along with the bias.
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

struct Linear: Sendable {
  private let name: String
  private let weight: LayerWeight
  private let bias: [Float]?

  /// - Parameter gated: whether the second half of the outputs gates the first, by GELU.
  init(
    _ spec: LinearSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic, gated: Bool = false
  ) throws {
    name = spec.module.name
    let (weight, bias) = try load(spec.module, from: weights)
    self.weight = LayerWeight(weight, arithmetic, gated: gated)
    self.bias = bias
  }

  /// [B, in, ...] to [B, out, ...], half as many where gated: features lie in planes.
  ///
  /// - Parameter residual: what is added to the result.
  func callAsFunction(
    _ x: Tensor, residual: Tensor? = nil, _ observer: (any ActivationObserver)?
  ) -> Tensor {
    observer?.willRun(module: name, input: rowsOfFeatures(x))
    return switch weight {
    case .stored(let weight, _, let gated):
      project(x, weight: weight, bias: bias, residual: residual, gated: gated)
    case .int8(let weight):
      project(x, weight: weight, bias: bias, residual: residual)
    }
  }
}

/// Planes of features as observers take them: a row for each token.
private func rowsOfFeatures(_ x: Tensor) -> Tensor {
  if x.shape.rank == 2 { return x }
  let features = x.shape[1]
  let tokens = x.shape.extents.dropFirst(2).reduce(1, *)
  return transposed(x.reshaped([x.shape[0], features, tokens]))
    .reshaped([x.shape[0] * tokens, features])
}

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

  /// - Parameter silu: whether SiLU follows, in the same pass.
  func callAsFunction(_ x: Tensor, silu: Bool = false) -> Tensor {
    groupNorm(x, groups: groups, scale: scale, bias: bias, epsilon: epsilon, silu: silu)
  }

  /// The same in place, for a tensor that nobody else looks at any more.
  func apply(to x: inout Tensor, silu: Bool) {
    groupNorm(inPlace: &x, groups: groups, scale: scale, bias: bias, epsilon: epsilon, silu: silu)
  }
}

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

/// A table of which rows are widened when they are looked up.
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
