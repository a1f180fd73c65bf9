import Execution
private import Foundation
import Models
import Tensors

/// A picture to begin with, and what of it is to be painted anew: diffusers'
/// `StableDiffusionImg2ImgPipeline` and `StableDiffusionInpaintPipeline`.
package struct ImageInput: Sendable {
  package var picture: Image
  /// How far to go from the picture: 1 forgets it, 0 leaves it.
  package var strength: Double
  /// White where the picture is to be painted anew; `nil` is everywhere.
  package var mask: Image?

  package init(picture: Image, strength: Double = 0.8, mask: Image? = nil) {
    self.picture = picture
    self.strength = strength
    self.mask = mask
  }
}

/// Where a run begins, and what holds it to a picture.
struct StartingPoint {
  var latents: Tensor
  /// The first step that is taken.
  var firstStep = 0
  /// The picture's latents, the noise, and the mask [1, 1, h, w], where the U-Net has no channels for
  /// the mask: after each step what is not masked is the picture again.
  var kept: (latents: Tensor, noise: Tensor, mask: Tensor)?
  /// The mask and the masked picture, where the request has a mask and the U-Net channels for it.
  var extraChannels: Tensor?
}

extension Sampler {
  /// Whether the U-Net has channels for a mask and a masked picture.
  var takesMask: Bool { model.unet.inChannels == 2 * model.vae.latentChannels + 1 }

  /// The latents to begin with, and the numbers that are drawn for them, in diffusers' order.
  func start(
    _ request: SamplingRequest, shape: Shape, scheduler: any Scheduler,
    generator: inout TorchGenerator
  ) throws -> StartingPoint {
    func drawn() -> Tensor { request.latents ?? generator.randn(shape) }
    guard let input = request.image else {
      return StartingPoint(latents: scaled(scheduler.initialNoiseSigma, drawn()))
    }
    let first = try input.firstStep(steps: request.steps, calls: scheduler.timesteps.count)
    let size = size(for: request)
    let picture = input.picture.resized(width: size.width, height: size.height)
    let image = picture.normalized
    let isWhole = input.mask != nil && input.strength == 1
    let encoder = try encoder()

    var imageLatents: Tensor?
    if input.mask == nil || !takesMask || !isWhole {
      imageLatents = try encode(image, with: encoder, generator: &generator).repeated(shape[0])
    }
    let noise = drawn()
    var start = StartingPoint(
      latents: scaled(scheduler.initialNoiseSigma, noise), firstStep: first)
    if !isWhole, let imageLatents {
      start.latents = scheduler.noisy(imageLatents, noise: noise, at: first)
    }
    guard let mask = input.mask else { return start }
    let levels = mask.resized(width: size.width, height: size.height).maskLevels
    let small = shrunk(levels, width: size.width, height: size.height, shape: shape)
    // Drawn for a U-Net without channels for it as well, so that the generator stands where
    // diffusers' does.
    let masked = try encode(
      image.blanked(where: levels), with: encoder, generator: &generator)
    if takesMask {
      start.extraChannels = Tensor(joiningChannels: [small, masked])
    } else if let imageLatents {
      start.kept = (imageLatents, noise, small)
    }
    return start
  }

  /// What an inpainting model is shown when there is no picture: everything is masked.
  func wholePictureMasked(_ request: SamplingRequest) throws -> Tensor {
    let size = size(for: request)
    let blank = Tensor(zeros: [1, model.vae.inChannels, size.height, size.width])
    let mean = scaled(Float(model.vae.scalingFactor), try encoder().encode(blank).mean)
    let mask = Tensor(
      shape: [1, 1, mean.shape[2], mean.shape[3]],
      values: [Float](repeating: 1, count: mean.shape[2] * mean.shape[3]))
    return Tensor(joiningChannels: [mask, mean])
  }

  /// A picture's latents, drawn from the distribution that the autoencoder gives.
  private func encode(
    _ image: Tensor, with encoder: VAEEncoder, generator: inout TorchGenerator
  ) throws -> Tensor {
    let (mean, logvar) = try encoder.encode(image)
    let noise = generator.randn(mean.shape)
    var latents = mean
    let factor = Float(model.vae.scalingFactor)
    for index in latents.values.indices {
      let deviation = expf(0.5 * min(max(logvar.values[index], -30), 20))
      latents.values[index] = (mean.values[index] + deviation * noise.values[index]) * factor
    }
    return latents
  }

  /// The mask at the latents' size: `torch.nn.functional.interpolate`, nearest.
  private func shrunk(_ mask: [Float], width: Int, height: Int, shape: Shape) -> Tensor {
    let (rows, columns) = (shape[2], shape[3])
    var values: [Float] = []
    for row in 0..<rows {
      for column in 0..<columns {
        values.append(mask[row * height / rows * width + column * width / columns])
      }
    }
    return Tensor(shape: [1, 1, rows, columns], values: values)
  }
}

extension StartingPoint {
  /// The latents with the picture put back where the mask is black.
  func held(_ latents: Tensor, after step: Int, of scheduler: any Scheduler) -> Tensor {
    guard let kept else { return latents }
    let isLast = step == scheduler.timesteps.count - 1
    let picture =
      isLast ? kept.latents : scheduler.noisy(kept.latents, noise: kept.noise, at: step + 1)
    var result = latents
    let area = kept.mask.values.count
    for index in result.values.indices {
      let weight = kept.mask.values[index % area]
      result.values[index] =
        (1 - weight) * picture.values[index] + weight * latents.values[index]
    }
    return result
  }
}

extension Image {
  /// [1, 3, H, W] from -1 to 1.
  fileprivate var normalized: Tensor {
    let area = width * height
    var values = [Float](repeating: 0, count: 3 * area)
    for place in 0..<area {
      for channel in 0..<3 {
        values[channel * area + place] = 2 * (Float(pixels[place * 3 + channel]) / 255) - 1
      }
    }
    return Tensor(shape: [1, 3, height, width], values: values)
  }

  /// 1 where the picture is brighter than half, else 0: PIL's conversion to gray, diffusers'
  /// `binarize`.
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
  /// The picture with zeros where the mask is set.
  fileprivate func blanked(where mask: [Float]) -> Tensor {
    var result = self
    for index in result.values.indices where mask[index % mask.count] >= 0.5 {
      result.values[index] = 0
    }
    return result
  }

  /// One entry as many.
  func repeated(_ count: Int) -> Tensor {
    Tensor(stacking: [Tensor](repeating: self, count: count))
  }

  /// Tensors [B, C, H, W] of one batch and size, their channels after one another.
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
