import ModelSources
internal import Support

extension Model {
  /// An estimate of the activation memory, in bytes, that a program needs to generate one image of
  /// ``defaultSize`` with activations of `width` bytes per number.
  ///
  /// The estimate is the larger of the U-Net's, for a batch of two (with and without the prompt),
  /// and the decoder's. It counts the skip connections and the widest layer's inputs, norms and
  /// outputs. Attention is assumed to be tiled, without a full score matrix.
  package func workingBytes(width: Int) -> Int {
    let decoderWidth = overflowsHalf(ComponentName.vae) ? 4 : width
    return max(2 * unetActivations * width, decoderActivations * decoderWidth)
  }

  /// The peak number of activations in the U-Net for one image.
  private var unetActivations: Int {
    let factor = vae.downsamplingFactor
    func area(_ level: Int) -> Int {
      let side = 1 << level
      return (defaultSize.height / factor / side) * (defaultSize.width / factor / side)
    }
    let widths = unet.blockOutChannels
    var skips = widths[0] * area(0)
    var widest = 0
    for (level, channels) in widths.enumerated() {
      skips += unet.layersPerBlock[level] * channels * area(level)
      let isLast = level == widths.count - 1
      if !isLast { skips += channels * area(level + 1) }
      // A resnet of an up block: its input and skip connection, both after the norm, and its
      // output.
      let below = isLast ? channels : widths[level + 1]
      let resnet = 2 * (below + channels) + channels
      // A transformer block: its input, its norm, and GEGLU's value and gate, each four times as
      // wide.
      let transformer = unet.hasAttention(level) ? 10 * channels : 0
      widest = max(widest, max(resnet, transformer) * area(level))
    }
    return skips + widest
  }

  /// The peak number of activations in the decoder for one image: a full-size resnet whose input
  /// has the width of the level below.
  private var decoderActivations: Int {
    let widths = vae.blockOutChannels
    let below = widths.count > 1 ? widths[1] : widths[0]
    return (2 * below + widths[0]) * defaultSize.height * defaultSize.width
  }
}
