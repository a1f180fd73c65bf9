import Kernels
import ModelSources
import Models
import Tensors

/// diffusers' `ResnetBlock2D`.
struct Resnet: Sendable {
  private let spec: ResnetSpec
  private let norm1: GroupNorm
  private let conv1: Convolution
  private let timeProjection: Linear?
  private let norm2: GroupNorm
  private let conv2: Convolution
  private let shortcut: Convolution?

  init(_ spec: ResnetSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
    self.spec = spec
    norm1 = try GroupNorm(spec.norm1, weights)
    conv1 = try Convolution(spec.conv1, weights, arithmetic)
    timeProjection = try spec.timeProjection.map { try Linear($0, weights, .f32) }
    norm2 = try GroupNorm(spec.norm2, weights)
    conv2 = try Convolution(spec.conv2, weights, arithmetic)
    shortcut = try spec.shortcut.map { try Convolution($0, weights, arithmetic) }
  }

  /// - Parameters:
  ///   - x: [B, C, H, W].
  ///   - time: the time embedding after SiLU, [B, D]; `nil` for an autoencoder.
  func callAsFunction(
    _ x: consuming Tensor, time: Tensor?, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    let residual: Tensor
    var hidden: Tensor
    if let shortcut {
      residual = try shortcut(x, observer)
      // The activations of a decoder take hundreds of megabytes, so their memory is reused.
      hidden = x
      x = residual
      norm1.apply(to: &hidden, silu: true)
    } else {
      residual = x
      hidden = norm1(x, silu: true)
    }
    let timeBias = try time.flatMap { time in try timeProjection.map { try $0(time, observer) } }
    hidden = try conv1(hidden, channelBias: timeBias, observer)
    norm2.apply(to: &hidden, silu: true)
    var output = try conv2(hidden, residual: residual, observer)
    if spec.outputScale != 1 { output = divide(output, by: spec.outputScale) }
    observer.ran(spec.name, output)
    return output
  }
}

/// The convolution of diffusers' `Downsample2D` or `Upsample2D`.
struct Resampler: Sendable {
  private let name: String
  private let conv: Convolution

  init(_ spec: ResamplerSpec, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
    name = spec.name
    conv = try Convolution(spec.conv, weights, arithmetic)
  }

  /// Applies the convolution. A downsampler's has a stride of 2; an upsampler's follows the
  /// resizing.
  func callAsFunction(_ x: Tensor, _ observer: (any ActivationObserver)?) throws -> Tensor {
    let output = try conv(x, observer)
    observer.ran(name, output)
    return output
  }
}

private func divide(_ x: consuming Tensor, by divisor: Float) -> Tensor {
  for index in x.values.indices { x.values[index] /= divisor }
  return x
}
