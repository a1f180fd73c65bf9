import ModelSources
package import Support
import Tensors

extension ImageSize {
  fileprivate var pixels: Int { product(width, height) }
  /// The size after a convolution with a stride of 2.
  fileprivate var halved: ImageSize {
    ImageSize(width: (width + 1) / 2, height: (height + 1) / 2)
  }
  fileprivate var doubled: ImageSize { ImageSize(width: 2 * width, height: 2 * height) }

  /// The size of the latent of an image, at least 1x1.
  package func latent(by factor: Int) -> ImageSize {
    ImageSize(width: max(1, width / factor), height: max(1, height / factor))
  }
}

extension ActivationWalk {
  /// One call of the U-Net.
  mutating func unet(_ spec: UNetSpec, latent: ImageSize) {
    _ = make(product(spec.textWidth, Self.words))
    _ = make(product(spec.inChannels, latent.pixels))
    var size = latent
    let first = convolution(spec.convIn, pixels: size.pixels)
    // Outputs that the up blocks take, last in, first out.
    var skips = [(tensor: first, size: size)]
    for block in spec.downBlocks {
      for (index, resnet) in block.resnets.enumerated() {
        var hidden = self.resnet(resnet, pixels: size.pixels)
        if !block.attentions.isEmpty {
          hidden = transformer(block.attentions[index], releasing: hidden, pixels: size.pixels)
        }
        skips.append((hidden, size))
      }
      if let downsampler = block.downsampler {
        size = size.halved
        skips.append((convolution(downsampler.conv, pixels: size.pixels), size))
      }
    }

    // The input of the next block; `nil` while it is one of the skips.
    var input: Held?
    if let midBlock = spec.midBlock {
      var hidden = resnet(midBlock.resnets[0], pixels: size.pixels)
      for (attention, resnet) in zip(midBlock.attentions, midBlock.resnets.dropFirst()) {
        hidden = transformer(attention, releasing: hidden, pixels: size.pixels)
        let output = self.resnet(resnet, pixels: size.pixels)
        release(hidden)
        hidden = output
      }
      input = hidden
    }

    for block in spec.upBlocks {
      let taken = skips.suffix(block.resnets.count)
      skips.removeLast(taken.count)
      // The output of the last layer; `nil` while it is the input of the block.
      var hidden: Held?
      for (index, resnet) in block.resnets.enumerated() {
        let joined = make(product(resnet.norm1.module.weight.shape.count, size.pixels))
        if let hidden { release(hidden) }
        var output = self.resnet(resnet, pixels: size.pixels)
        release(joined)
        if !block.attentions.isEmpty {
          output = transformer(block.attentions[index], releasing: output, pixels: size.pixels)
        }
        hidden = output
      }
      if let upsampler = block.upsampler, let next = skips.last {
        size = next.size
        let output = upsampled(upsampler, pixels: size.pixels)
        if let hidden { release(hidden) }
        hidden = output
      }
      for skip in taken { release(skip.tensor) }
      if let input { release(input) }
      input = hidden
    }
    let activated = activatedNorm(spec.convNormOut, pixels: size.pixels)
    _ = convolution(spec.convOut, releasing: activated, pixels: size.pixels)
  }

  /// The decoder of the autoencoder.
  mutating func decoder(_ spec: VAESpec.Decoder, latent: ImageSize) {
    var size = latent
    let start = make(product(spec.convIn.module.weight.shape[1], size.pixels))
    if let convolution = spec.postQuantConv {
      _ = self.convolution(convolution, releasing: start, pixels: size.pixels)
    }
    var input = convolution(spec.convIn, pixels: size.pixels)
    input = midBlock(spec.midBlock, releasing: input, pixels: size.pixels)

    for level in spec.levels {
      // The output of the last layer; `nil` while it is the input of the level.
      var hidden: Held?
      for resnet in level.resnets {
        let output = self.resnet(resnet, pixels: size.pixels)
        if let hidden { release(hidden) }
        hidden = output
      }
      if let upsampler = level.resampler {
        size = size.doubled
        let output = upsampled(upsampler, pixels: size.pixels)
        if let hidden { release(hidden) }
        hidden = output
      }
      if let hidden {
        release(input)
        input = hidden
      }
    }
    let activated = activatedNorm(spec.convNormOut, pixels: size.pixels)
    _ = convolution(spec.convOut, releasing: activated, pixels: size.pixels)
  }

  /// The encoder of the autoencoder.
  mutating func encoder(_ spec: VAESpec.Encoder, image: ImageSize) {
    var size = image
    _ = make(product(spec.convIn.module.weight.shape[1], size.pixels))
    var input = convolution(spec.convIn, pixels: size.pixels)
    for level in spec.levels {
      for resnet in level.resnets {
        let output = self.resnet(resnet, pixels: size.pixels)
        release(input)
        input = output
      }
      if let downsampler = level.resampler {
        size = size.halved
        input = convolution(downsampler.conv, releasing: input, pixels: size.pixels)
      }
    }
    let output = midBlock(spec.midBlock, releasing: input, pixels: size.pixels)
    let activated = activatedNorm(spec.convNormOut, pixels: size.pixels)
    release(output)
    _ = convolution(spec.convOut, releasing: activated, pixels: size.pixels)
  }

  private mutating func midBlock(
    _ spec: VAESpec.MidBlock, releasing input: Held, pixels: Int
  ) -> Held {
    var hidden = resnet(spec.resnet1, pixels: pixels)
    if let attention = spec.attention {
      let normed = make(product(attention.norm.module.weight.shape.count, pixels))
      let attended = self.attention(attention.attention, tokens: pixels)
      let sum = make(product(attention.norm.module.weight.shape.count, pixels))
      release(normed, attended, hidden)
      hidden = sum
    }
    let output = resnet(spec.resnet2, pixels: pixels)
    release(hidden, input)
    return output
  }

  /// An image resized to `pixels`, and the convolution that follows.
  private mutating func upsampled(_ spec: ResamplerSpec, pixels: Int) -> Held {
    let resized = make(product(spec.conv.module.weight.shape[1], pixels))
    return convolution(spec.conv, releasing: resized, pixels: pixels)
  }

  private mutating func transformer(
    _ spec: TransformerSpec, releasing input: Held, pixels: Int
  ) -> Held {
    let output = transformer(spec, pixels: pixels)
    release(input)
    return output
  }
}
