import Kernels
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

struct Convolution: Sendable {
  private let name: String
  private let stride: Int
  private let padding: Padding
  private let weight: StoredTensor
  private let bias: [Float]?

  init(_ spec: ConvolutionSpec, _ weights: any WeightSource) throws {
    name = spec.module.name
    stride = spec.stride
    padding = Padding(
      top: spec.paddingBefore, left: spec.paddingBefore, bottom: spec.paddingAfter,
      right: spec.paddingAfter)
    (weight, bias) = try load(spec.module, from: weights)
  }

  /// [B, C, H, W] to [B, O, H', W'].
  func callAsFunction(_ x: Tensor, _ observer: (any ActivationObserver)?) -> Tensor {
    observer?.willRun(module: name, input: x)
    return convolve(x, weight: weight, bias: bias, stride: stride, padding: padding)
  }
}

struct Linear: Sendable {
  private let name: String
  private let weight: StoredTensor
  private let bias: [Float]?

  init(_ spec: LinearSpec, _ weights: any WeightSource) throws {
    name = spec.module.name
    (weight, bias) = try load(spec.module, from: weights)
  }

  /// [..., in] to [..., out].
  func callAsFunction(_ x: Tensor, _ observer: (any ActivationObserver)?) -> Tensor {
    if let observer {
      let width = weight.shape.rowLength
      observer.willRun(module: name, input: x.reshaped([x.shape.count / width, width]))
    }
    return linear(x, weight: weight, bias: bias)
  }
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
