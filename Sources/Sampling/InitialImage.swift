import Execution
private import Foundation
private import Kernels
import Models
internal import Support
import Tensors

/// The image that image-to-image or inpainting starts from: the arguments `image`, `strength` and
/// `mask_image` of diffusers' `StableDiffusionImg2ImgPipeline` and
/// `StableDiffusionInpaintPipeline`.
package struct InitialImage: Sendable {
  package var image: Image
  /// How much noise to add, from 0 to 1: 0 keeps the image, 1 ignores it.
  package var strength: Double
  /// White where the image is to be replaced; `nil` replaces all of it.
  package var mask: Image?

  /// The strength that diffusers' pipelines have by default: 0.8, and 1 with a mask.
  package static func standardStrength(hasMask: Bool) -> Double { hasMask ? 1 : 0.8 }

  package init(image: Image, strength: Double, mask: Image? = nil) {
    self.image = image
    self.strength = strength
    self.mask = mask
  }
}

/// The latents that a run starts from, with the data that inpainting needs at each step.
struct InitialState {
  var latents: Tensor
  /// Index of the first step.
  var firstStep = 0
  /// The image's latents, the noise and the mask [1, 1, h, w], for inpainting with a U-Net that has
  /// no mask channels: after each step the latents outside the mask are replaced by the image's.
  var inpainting: (latents: Tensor, noise: Tensor, mask: Tensor)?
  /// The mask and the latents of the masked image, for inpainting with a U-Net that has channels
  /// for them.
  var extraChannels: Tensor?
}

extension Sampler {
  /// Whether the U-Net has input channels for a mask and a masked image.
  var takesMask: Bool { model.unet.inChannels == 2 * model.vae.latentChannels + 1 }

  /// Makes the initial latents. Random numbers are drawn in diffusers' order.
  func initialState(
    _ request: SamplingRequest, shape: Shape, scheduler: any Scheduler,
    generator: inout TorchGenerator
  ) throws -> InitialState {
    func drawn() -> Tensor { request.latents ?? generator.randn(shape) }
    guard let input = request.initialImage else {
      return InitialState(latents: scaled(scheduler.initialNoiseSigma, drawn()))
    }
    let first = try input.firstStep(steps: request.steps, calls: scheduler.timesteps.count)
    let size = size(for: request)
    let image = input.image.resized(to: size).normalized
    let ignoresImage = input.mask != nil && input.strength == 1
    let encoder = try encoder()

    var imageLatents: Tensor?
    if input.mask == nil || !takesMask || !ignoresImage {
      imageLatents = try encode(image, with: encoder, generator: &generator).repeated(shape[0])
    }
    let noise = drawn()
    var state = InitialState(
      latents: scaled(scheduler.initialNoiseSigma, noise), firstStep: first)
    if !ignoresImage, let imageLatents {
      state.latents = scheduler.noisy(imageLatents, noise: noise, at: first)
    }
    guard let mask = input.mask else { return state }
    let levels = mask.resized(to: size).maskLevels
    let latentMask = downsampled(levels, size, shape: shape)
    // diffusers encodes the masked image even for a U-Net without mask channels, which draws from
    // the generator.
    let masked = try encode(
      image.blanked(where: levels), with: encoder, generator: &generator)
    if takesMask {
      state.extraChannels = Tensor(joiningChannels: [latentMask, masked])
    } else if let imageLatents {
      state.inpainting = (imageLatents, noise, latentMask)
    }
    return state
  }

  /// The extra channels of an inpainting model for a request without an initial image: a mask of
  /// ones and the latents of a gray image.
  func fullyMaskedChannels(for request: SamplingRequest) throws -> Tensor {
    let size = size(for: request)
    let blank = Tensor(zeros: [1, model.vae.inChannels, size.height, size.width])
    let encoder = try encoder()
    let encoded = try interruptible { try encoder.encode(blank) }
    let mean = scaled(Float(model.vae.scalingFactor), encoded.mean)
    let mask = Tensor(
      shape: [1, 1, mean.shape[2], mean.shape[3]],
      values: [Float](repeating: 1, count: mean.shape[2] * mean.shape[3]))
    return Tensor(joiningChannels: [mask, mean])
  }

  /// Latents of an image, drawn from the VAE's posterior and multiplied by its scaling factor.
  private func encode(
    _ image: Tensor, with encoder: VAEEncoder, generator: inout TorchGenerator
  ) throws -> Tensor {
    let (mean, logvar) = try interruptible { try encoder.encode(image) }
    let noise = generator.randn(mean.shape)
    var latents = mean
    let factor = Float(model.vae.scalingFactor)
    for index in latents.values.indices {
      let deviation = expf(0.5 * min(max(logvar.values[index], -30), 20))
      latents.values[index] = (mean.values[index] + deviation * noise.values[index]) * factor
    }
    return latents
  }

  /// The mask at the latents' size: `torch.nn.functional.interpolate` with `mode="nearest"`.
  private func downsampled(_ mask: [Float], _ size: ImageSize, shape: Shape) -> Tensor {
    let (rows, columns) = (shape[2], shape[3])
    var values: [Float] = []
    for row in 0..<rows {
      for column in 0..<columns {
        values.append(mask[row * size.height / rows * size.width + column * size.width / columns])
      }
    }
    return Tensor(shape: [1, 1, rows, columns], values: values)
  }
}

extension InitialState {
  /// The latents after a step, with the image's latents restored where the mask is black.
  func restoringUnmasked(
    _ latents: Tensor, after step: Int, of scheduler: any Scheduler
  ) -> Tensor {
    guard let inpainting else { return latents }
    let isLast = step == scheduler.timesteps.count - 1
    let image =
      isLast
      ? inpainting.latents
      : scheduler.noisy(inpainting.latents, noise: inpainting.noise, at: step + 1)
    var result = latents
    let area = inpainting.mask.values.count
    for index in result.values.indices {
      let weight = inpainting.mask.values[index % area]
      result.values[index] =
        (1 - weight) * image.values[index] + weight * latents.values[index]
    }
    return result
  }
}

extension Image {
  /// The image as a tensor [1, 3, H, W] from -1 to 1.
  var normalized: Tensor {
    let area = width * height
    var values = [Float](repeating: 0, count: 3 * area)
    for place in 0..<area {
      for channel in 0..<3 {
        values[channel * area + place] = 2 * (Float(pixels[place * 3 + channel]) / 255) - 1
      }
    }
    return Tensor(shape: [1, 3, height, width], values: values)
  }

  /// 1 where the image's gray level is at least half, else 0: PIL's conversion to gray, then
  /// diffusers' `binarize`.
  fileprivate var maskLevels: [Float] {
    stride(from: 0, to: pixels.count, by: 3).map { place in
      let (red, green, blue) = (
        Int(pixels[place]), Int(pixels[place + 1]), Int(pixels[place + 2])
      )
      let gray = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
      return Float(gray) / 255 < 0.5 ? 0 : 1
    }
  }
}

extension Tensor {
  /// The image with zeros where the mask is set.
  fileprivate func blanked(where mask: [Float]) -> Tensor {
    var result = self
    for index in result.values.indices where mask[index % mask.count] >= 0.5 {
      result.values[index] = 0
    }
    return result
  }

  /// `count` copies along the first axis.
  func repeated(_ count: Int) -> Tensor {
    Tensor(stacking: [Tensor](repeating: self, count: count))
  }

  /// Concatenates tensors [B, C, H, W] along the channels.
  ///
  /// - Precondition: they have the same batch size, height and width.
  init(joiningChannels tensors: [Tensor]) {
    let first = tensors[0].shape
    var values: [Float] = []
    for entry in 0..<first[0] {
      for tensor in tensors {
        let size = tensor.shape.rowLength
        values += tensor.values[entry * size..<(entry + 1) * size]
      }
    }
    self.init(
      shape: [first[0], tensors.reduce(0) { $0 + $1.shape[1] }, first[2], first[3]],
      values: values)
  }
}
