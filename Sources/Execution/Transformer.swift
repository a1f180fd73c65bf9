import Kernels
import ModelSources
import Models
import Tensors

/// diffusers' `Attention`.
struct Attention: Sendable {
  private let spec: AttentionSpec
  private let bfloat16: Bool
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let out: Linear

  init(_ spec: AttentionSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
    self.spec = spec
    bfloat16 = arithmetic == .int8
    query = try Linear(spec.query, weights, arithmetic)
    key = try Linear(spec.key, weights, arithmetic)
    value = try Linear(spec.value, weights, arithmetic)
    out = try Linear(spec.out, weights, arithmetic)
  }

  /// - Parameters:
  ///   - x: [B, C, T].
  ///   - text: [B, D, words]; used for cross-attention only.
  ///   - residual: a tensor that is added to the result.
  func callAsFunction(
    _ x: Tensor, text: Tensor?, residual: Tensor, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    let context = spec.attendsToText ? text ?? x : x
    let attended = attention(
      query: try query(x, observer), key: try key(context, observer),
      value: try value(context, observer), heads: spec.heads, bfloat16: bfloat16)
    return try out(attended, residual: residual, observer)
  }
}

/// diffusers' `BasicTransformerBlock`.
struct TransformerBlock: Sendable {
  private let norm1: LayerNorm
  private let attention1: Attention
  private let norm2: LayerNorm
  private let attention2: Attention
  private let norm3: LayerNorm
  private let feedForwardIn: Linear
  private let feedForwardOut: Linear

  init(_ spec: TransformerBlockSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
    norm1 = try LayerNorm(spec.norm1, weights)
    attention1 = try Attention(spec.attention1, weights, arithmetic)
    norm2 = try LayerNorm(spec.norm2, weights)
    attention2 = try Attention(spec.attention2, weights, arithmetic)
    norm3 = try LayerNorm(spec.norm3, weights)
    feedForwardIn = try Linear(spec.feedForwardIn, weights, arithmetic, gated: true)
    feedForwardOut = try Linear(spec.feedForwardOut, weights, arithmetic)
  }

  /// - Parameters:
  ///   - x: [B, C, T]; the result has the same shape.
  ///   - text: [B, D, words].
  func callAsFunction(
    _ x: Tensor, text: Tensor, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    var x = try attention1(norm1(x), text: text, residual: x, observer)
    x = try attention2(norm2(x), text: text, residual: x, observer)
    return try feedForwardOut(feedForwardIn(norm3(x), observer), residual: x, observer)
  }
}

/// diffusers' `Transformer2DModel` for images.
struct Transformer: Sendable {
  /// `proj_in` or `proj_out`. For features in planes, a 1 x 1 convolution and a linear layer differ
  /// only in the shape of the input that observers receive.
  private enum Projection: Sendable {
    case convolution(Convolution)
    case linear(Linear)

    init(
      _ spec: TransformerSpec.Projection, _ weights: any WeightSource, _ arithmetic: Arithmetic
    ) throws {
      switch spec {
      case .convolution(let spec): self = .convolution(try Convolution(spec, weights, arithmetic))
      case .linear(let spec): self = .linear(try Linear(spec, weights, arithmetic))
      }
    }

    func callAsFunction(
      _ x: Tensor, residual: Tensor? = nil, _ observer: (any ActivationObserver)?
    ) throws -> Tensor {
      switch self {
      case .convolution(let convolution): try convolution(x, residual: residual, observer)
      case .linear(let linear): try linear(x, residual: residual, observer)
      }
    }
  }

  private let name: String
  private let norm: GroupNorm
  private let projectIn: Projection
  private let blocks: [TransformerBlock]
  private let projectOut: Projection

  init(_ spec: TransformerSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
    name = spec.name
    norm = try GroupNorm(spec.norm, weights)
    projectIn = try Projection(spec.projectIn, weights, arithmetic)
    blocks = try spec.blocks.map { try TransformerBlock($0, weights, arithmetic) }
    projectOut = try Projection(spec.projectOut, weights, arithmetic)
  }

  /// - Parameters:
  ///   - x: [B, C, H, W].
  ///   - text: [B, D, words].
  func callAsFunction(
    _ x: Tensor, text: Tensor, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    let (batch, height, width) = (x.shape[0], x.shape[2], x.shape[3])
    let projected = try projectIn(norm(x), observer)
    let channels = projected.shape[1]
    var hidden = projected.reshaped([batch, channels, height * width])
    for block in blocks { hidden = try block(hidden, text: text, observer) }
    let output = try projectOut(
      hidden.reshaped([batch, channels, height, width]), residual: x, observer)
    observer.ran(name, output)
    return output
  }
}
