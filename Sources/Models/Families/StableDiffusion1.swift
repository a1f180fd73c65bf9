import Formats

extension Architecture {
  /// Stable Diffusion 1.x: a CLIP-L text encoder, a U-Net that looks at its last states, latents of
  /// four channels.
  static let stableDiffusion1 = Architecture(
    name: "sd-v1", pipelineClass: "StableDiffusionPipeline", textStates: .last, timeIDs: nil,
    scheduler: object([StableDiffusion1Configs.scheduler]), correctsSchedulers: true,
    needsFloat32VAE: false)
}

/// 1.4 and 1.5 are one architecture with other weights, so a model of either is found as the first.
extension Family {
  static let stableDiffusion14 = Family(
    name: "sd-v1-4", title: "Stable Diffusion 1.4", architecture: .stableDiffusion1,
    template: ModelTemplate(StableDiffusion1Configs.v14))

  static let stableDiffusion15 = Family(
    name: "sd-v1-5", title: "Stable Diffusion 1.5", architecture: .stableDiffusion1,
    template: ModelTemplate(StableDiffusion1Configs.v15))

  static let stableDiffusion15Inpainting = Family(
    name: "sd-v1-5-inpainting", title: "Stable Diffusion 1.5 for inpainting",
    architecture: .stableDiffusion1, template: ModelTemplate(StableDiffusion1Configs.v15Inpainting))

  /// A latent consistency model of 1.5's make.
  static let lcmDreamshaper = Family(
    name: "lcm-dreamshaper-v7", title: "LCM Dreamshaper 7", architecture: .stableDiffusion1,
    parent: "sd-v1-5", template: ModelTemplate(LCMConfigs.dreamshaper))

  /// Models that are put together as Stable Diffusion 1.x is, of any width and depth: a stripped
  /// one, or a miniature.
  static let customStableDiffusion1 = Family(
    name: "sd-v1-custom", title: "Stable Diffusion 1.x of other sizes",
    architecture: .stableDiffusion1, template: nil, matches: \.hasOneTextEncoder)
}

extension ModelConfigs {
  /// Whether a U-Net looks at the states of one text encoder, and has latents with or without a
  /// mask and a masked picture beside them.
  var hasOneTextEncoder: Bool {
    guard textEncoders.count == 1, let encoder = textEncoders.first else { return false }
    return encoder.projectionDim == nil && encoder.hiddenSize == unet.textWidth
      && unet.additionEmbedding == nil && hasKnownLatents
  }

  /// Whether the U-Net gives latents and takes them, alone or with a mask and a masked picture.
  var hasKnownLatents: Bool {
    let latent = vae.latentChannels
    return unet.outChannels == latent && [latent, 2 * latent + 1].contains(unet.inChannels)
  }
}
