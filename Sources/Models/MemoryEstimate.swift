import ModelSources
internal import Support

extension Model {
  /// Bytes that a program needs to run the model with numbers of `width` bytes between its layers:
  /// what is alive at once in the larger of the U-Net, with and without the text, and the
  /// autoencoder's decoder, for one picture of ``defaultSize``.
  ///
  /// An estimate by counting: the skips that the way up waits for, and the widest layer's inputs,
  /// norms and outputs. Attention is counted as tiled, without its matrix of scores.
  package func workingBytes(width: Int) -> Int {
    let decoderWidth = overflowsHalf(ComponentName.vae) ? 4 : width
    return max(2 * unetNumbers * width, decoderNumbers * decoderWidth)
  }

  /// Numbers alive at once for one picture.
  private var unetNumbers: Int {
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
      // A resnet of the way up: what comes from below and the skip, the same normed, the output.
      let below = isLast ? channels : widths[level + 1]
      let resnet = 2 * (below + channels) + channels
      // A transformer block: itself, its norm, and GEGLU's value and gate, four times as wide each.
      let transformer = unet.hasAttention(level) ? 10 * channels : 0
      widest = max(widest, max(resnet, transformer) * area(level))
    }
    return skips + widest
  }

  /// Numbers alive at once while one picture is decoded: at full size a resnet takes the width of
  /// the level below and gives its own.
  private var decoderNumbers: Int {
    let widths = vae.blockOutChannels
    let below = widths.count > 1 ? widths[1] : widths[0]
    return (2 * below + widths[0]) * defaultSize.height * defaultSize.width
  }
}
