import Formats

/// Stable Diffusion 1.x: a CLIP-L text encoder, a U-Net that looks at its last states, latents of
/// four channels.
///
/// 1.4 and 1.5 are one architecture with other weights, so a model of either is found as the first.
extension Family {
  static let stableDiffusion1Line = "sd-v1"

  static let stableDiffusion14 = Family(
    name: "sd-v1-4", title: "Stable Diffusion 1.4", line: stableDiffusion1Line,
    template: ModelTemplate(StableDiffusion1Configs.v14))

  static let stableDiffusion15 = Family(
    name: "sd-v1-5", title: "Stable Diffusion 1.5", line: stableDiffusion1Line,
    template: ModelTemplate(StableDiffusion1Configs.v15))

  /// Models that are put together as Stable Diffusion 1.x is, of any width and depth: a stripped
  /// one, or a miniature.
  static let customStableDiffusion1 = Family(
    name: "sd-v1-custom", title: "Stable Diffusion 1.x of other sizes",
    line: stableDiffusion1Line, template: nil
  ) { configs in
    let (unet, vae) = (configs.unet, configs.vae)
    guard configs.textEncoders.count == 1, let encoder = configs.textEncoders.first else {
      return false
    }
    return encoder.projectionDim == nil && encoder.hiddenSize == unet.textWidth
      && unet.additionEmbedding == nil && unet.timeCondProjDim == nil
      && unet.inChannels == vae.latentChannels && unet.outChannels == vae.latentChannels
  }
}
