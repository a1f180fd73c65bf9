import Kernels
import Models
import Tensors

/// diffusers' `Attention`.
struct Attention: Sendable {
  private let spec: AttentionSpec
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let out: Linear

  init(_ spec: AttentionSpec, _ weights: any WeightSource) throws {
    self.spec = spec
    query = try Linear(spec.query, weights)
    key = try Linear(spec.key, weights)
    value = try Linear(spec.value, weights)
    out = try Linear(spec.out, weights)
  }

  /// - Parameters:
  ///   - x: [B, T, C].
  ///   - text: [B, words, D]; looked at only where the spec says so.
  func callAsFunction(
    _ x: Tensor, text: Tensor?, _ observer: (any ActivationObserver)?
  ) -> Tensor {
    let context = spec.attendsToText ? text ?? x : x
    let attended = attention(
      query: query(x, observer), key: key(context, observer), value: value(context, observer),
      heads: spec.heads)
    return out(attended, observer)
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

  init(_ spec: TransformerBlockSpec, _ weights: any WeightSource) throws {
    norm1 = try LayerNorm(spec.norm1, weights)
    attention1 = try Attention(spec.attention1, weights)
    norm2 = try LayerNorm(spec.norm2, weights)
    attention2 = try Attention(spec.attention2, weights)
    norm3 = try LayerNorm(spec.norm3, weights)
    feedForwardIn = try Linear(spec.feedForwardIn, weights)
    feedForwardOut = try Linear(spec.feedForwardOut, weights)
  }

  /// [B, T, C] to the same shape.
  func callAsFunction(
    _ x: Tensor, text: Tensor, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    try Task.checkCancellation()
    var x = add(attention1(norm1(x), text: text, observer), x)
    x = add(attention2(norm2(x), text: text, observer), x)
    return add(feedForwardOut(geglu(feedForwardIn(norm3(x), observer)), observer), x)
  }
}

/// diffusers' `Transformer2DModel` over pictures.
struct Transformer: Sendable {
  /// `proj_in` or `proj_out`, on pixels as a picture or as tokens.
  private enum Projection: Sendable {
    case convolution(Convolution)
    case linear(Linear)

    init(_ spec: TransformerSpec.Projection, _ weights: any WeightSource) throws {
      switch spec {
      case .convolution(let spec): self = .convolution(try Convolution(spec, weights))
      case .linear(let spec): self = .linear(try Linear(spec, weights))
      }
    }
  }

  private let name: String
  private let norm: GroupNorm
  private let projectIn: Projection
  private let blocks: [TransformerBlock]
  private let projectOut: Projection

  init(_ spec: TransformerSpec, _ weights: any WeightSource) throws {
    name = spec.name
    norm = try GroupNorm(spec.norm, weights)
    projectIn = try Projection(spec.projectIn, weights)
    blocks = try spec.blocks.map { try TransformerBlock($0, weights) }
    projectOut = try Projection(spec.projectOut, weights)
  }

  /// - Parameters:
  ///   - x: [B, C, H, W].
  ///   - text: [B, words, D].
  func callAsFunction(
    _ x: Tensor, text: Tensor, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    let (height, width) = (x.shape[2], x.shape[3])
    let normed = norm(x)
    var hidden =
      switch projectIn {
      case .convolution(let conv): tokens(from: conv(normed, observer))
      case .linear(let linear): linear(tokens(from: normed), observer)
      }
    for block in blocks { hidden = try block(hidden, text: text, observer) }
    let projected =
      switch projectOut {
      case .convolution(let conv): conv(image(from: hidden, height: height, width: width), observer)
      case .linear(let linear): image(from: linear(hidden, observer), height: height, width: width)
      }
    let output = add(projected, x)
    observer?.didRun(block: name, output: output)
    return output
  }
}
