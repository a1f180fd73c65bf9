package import Kernels
package import ModelSources
package import Models
internal import Support
package import Tensors

/// The middle block of the encoder and the decoder: diffusers' `UNetMidBlock2D` with single-head
/// attention.
private struct AutoencoderMidBlock: Sendable {
  /// Self-attention over the pixels of an image.
  private struct PixelAttention: Sendable {
    let name: String
    let norm: GroupNorm
    let attention: Attention

    init(_ spec: VAESpec.Attention, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
      name = spec.name
      norm = try GroupNorm(spec.norm, weights)
      attention = try Attention(spec.attention, weights, arithmetic)
    }

    func callAsFunction(_ x: Tensor, _ observer: (any ActivationObserver)?) throws -> Tensor {
      let pixels: Shape = [x.shape[0], x.shape[1], x.shape[2] * x.shape[3]]
      let output = try attention(
        norm(x).reshaped(pixels), text: nil, residual: x.reshaped(pixels), observer
      ).reshaped(x.shape)
      observer.ran(name, output)
      return output
    }
  }

  private let resnet1: Resnet
  private let attention: PixelAttention?
  private let resnet2: Resnet

  init(_ spec: VAESpec.MidBlock, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
    resnet1 = try Resnet(spec.resnet1, weights, arithmetic)
    attention = try spec.attention.map { try PixelAttention($0, weights, arithmetic) }
    resnet2 = try Resnet(spec.resnet2, weights, arithmetic)
  }

  func callAsFunction(_ x: Tensor, _ observer: (any ActivationObserver)?) throws -> Tensor {
    var x = try resnet1(x, time: nil, observer)
    if let attention { x = try attention(x, observer) }
    return try resnet2(x, time: nil, observer)
  }
}

/// The resnets of one resolution, and the resampler to the next one: diffusers'
/// `DownEncoderBlock2D` or `UpDecoderBlock2D`.
private struct AutoencoderLevel: Sendable {
  let resnets: [Resnet]
  let resampler: Resampler?

  init(_ spec: VAESpec.Level, _ weights: any WeightSource, _ arithmetic: Arithmetic) throws {
    resnets = try spec.resnets.map { try Resnet($0, weights, arithmetic) }
    resampler = try spec.resampler.map { try Resampler($0, weights, arithmetic) }
  }
}

/// Decodes latents to images: the decoder of diffusers' `AutoencoderKL`, in float32.
package struct VAEDecoder: Sendable {
  private let latentChannels: Int
  private let postQuantConv: Convolution?
  private let convIn: Convolution
  private let midBlock: AutoencoderMidBlock
  private let levels: [AutoencoderLevel]
  private let convNormOut: GroupNorm
  private let convOut: Convolution

  /// - Parameter arithmetic: ``Arithmetic/int8`` computes in float32, because only the U-Net
  ///   supports int8.
  /// - Throws: what `weights` throws, or ``WeightError`` when a tensor has another shape.
  package init(
    config: VAEConfig, weights: any WeightSource, arithmetic: Arithmetic = .f32
  ) throws {
    let arithmetic = arithmetic.inFloats
    keepHeap()
    let spec = VAESpec(config).decoder
    latentChannels = config.latentChannels
    postQuantConv = try spec.postQuantConv.map { try Convolution($0, weights, arithmetic) }
    convIn = try Convolution(spec.convIn, weights, arithmetic)
    midBlock = try AutoencoderMidBlock(spec.midBlock, weights, arithmetic)
    levels = try spec.levels.map { try AutoencoderLevel($0, weights, arithmetic) }
    convNormOut = try GroupNorm(spec.convNormOut, weights)
    convOut = try Convolution(spec.convOut, weights, arithmetic)
  }

  package init(_ model: Model, arithmetic: Arithmetic = .f32) throws {
    try self.init(
      config: model.vae, weights: model.weights(of: ComponentName.vae), arithmetic: arithmetic)
  }

  /// Decodes a latent to an image.
  ///
  /// - Parameter latent: [B, C, H, W], already divided by the config's `scaling_factor`.
  /// - Returns: [B, 3, factor * H, factor * W], from about -1 to 1.
  /// - Throws: ``InputError`` for a latent of another shape; `CancellationError`.
  package func decode(
    _ latent: Tensor, observer: (any ActivationObserver)? = nil
  ) throws -> Tensor {
    try check(
      latent, "latent",
      [("batch", nil), ("channels", latentChannels), ("height", nil), ("width", nil)])
    var x = latent
    if let postQuantConv {
      x = try postQuantConv(x, observer)
      observer.ran("post_quant_conv", x)
    }
    x = try convIn(x, observer)
    observer.ran("decoder.conv_in", x)
    x = try midBlock(x, observer)
    for level in levels {
      for resnet in level.resnets { x = try resnet(consume x, time: nil, observer) }
      if let upsampler = level.resampler { x = try upsampler(upsampleNearest2x(x), observer) }
    }
    x = try convOut(convNormOut(x, silu: true), observer)
    observer.ran("decoder.conv_out", x)
    return x
  }
}

/// Encodes images to latents: the encoder of diffusers' `AutoencoderKL`, in float32.
package struct VAEEncoder: Sendable {
  private let inChannels: Int
  private let factor: Int
  private let convIn: Convolution
  private let levels: [AutoencoderLevel]
  private let midBlock: AutoencoderMidBlock
  private let convNormOut: GroupNorm
  private let convOut: Convolution
  private let quantConv: Convolution?

  /// - Parameter arithmetic: ``Arithmetic/int8`` computes in float32, because only the U-Net
  ///   supports int8.
  /// - Throws: what `weights` throws, or ``WeightError`` when a tensor has another shape.
  package init(
    config: VAEConfig, weights: any WeightSource, arithmetic: Arithmetic = .f32
  ) throws {
    let arithmetic = arithmetic.inFloats
    let spec = VAESpec(config).encoder
    inChannels = config.inChannels
    factor = config.downsamplingFactor
    convIn = try Convolution(spec.convIn, weights, arithmetic)
    levels = try spec.levels.map { try AutoencoderLevel($0, weights, arithmetic) }
    midBlock = try AutoencoderMidBlock(spec.midBlock, weights, arithmetic)
    convNormOut = try GroupNorm(spec.convNormOut, weights)
    convOut = try Convolution(spec.convOut, weights, arithmetic)
    quantConv = try spec.quantConv.map { try Convolution($0, weights, arithmetic) }
  }

  package init(_ model: Model, arithmetic: Arithmetic = .f32) throws {
    try self.init(
      config: model.vae, weights: model.weights(of: ComponentName.vae), arithmetic: arithmetic)
  }

  /// Encodes an image to the normal distribution of its latents.
  ///
  /// - Parameter image: [B, 3, H, W], from -1 to 1. If a side is not a multiple of the downsampling
  ///   factor, its last pixels are ignored.
  /// - Returns: the mean and the logarithm of the variance, [B, C, H / factor, W / factor] each,
  ///   not multiplied by the config's `scaling_factor`. The logarithm is clamped to -30...20.
  /// - Throws: ``InputError`` for an image of another shape; `CancellationError`.
  package func encode(
    _ image: Tensor, observer: (any ActivationObserver)? = nil
  ) throws -> (mean: Tensor, logvar: Tensor) {
    try check(
      image, "image",
      [("batch", nil), ("channels", inChannels), ("height", nil), ("width", nil)])
    guard min(image.shape[2], image.shape[3]) >= factor else {
      throw InputError(
        input: "image", found: image.shape.description, expected: "sides of at least \(factor)")
    }
    var x = try convIn(image, observer)
    observer.ran("encoder.conv_in", x)
    for level in levels {
      for resnet in level.resnets { x = try resnet(consume x, time: nil, observer) }
      if let downsampler = level.resampler { x = try downsampler(x, observer) }
    }
    x = try midBlock(x, observer)
    x = try convOut(convNormOut(x, silu: true), observer)
    observer.ran("encoder.conv_out", x)
    if let quantConv {
      x = try quantConv(x, observer)
      observer.ran("quant_conv", x)
    }
    return moments(x)
  }

  /// Splits the channels of `x` [B, 2C, H, W] into the mean and the clamped log variance.
  private func moments(_ x: Tensor) -> (mean: Tensor, logvar: Tensor) {
    let shape: Shape = [x.shape[0], x.shape[1] / 2, x.shape[2], x.shape[3]]
    let half = shape.rowLength
    var mean: [Float] = []
    var logvar: [Float] = []
    for image in 0..<x.shape[0] {
      let start = image * 2 * half
      mean += x.values[start..<start + half]
      logvar += x.values[start + half..<start + 2 * half].map { min(max($0, -30), 20) }
    }
    return (Tensor(shape: shape, values: mean), Tensor(shape: shape, values: logvar))
  }
}
