import Formats
import ModelSources

/// Stable Diffusion 1.4 and 1.5 have the same configs and different weights, so both are recognized
/// as 1.4.
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

  /// A latent consistency model distilled from a fine-tuned Stable Diffusion 1.5.
  static let lcmDreamshaper = Family(
    name: "lcm-dreamshaper-v7", title: "LCM Dreamshaper 7", architecture: .stableDiffusion1,
    template: ModelTemplate(LCMConfigs.dreamshaper), sampling: .consistency)

  /// Models with the architecture of Stable Diffusion 1.x and any widths and depths, such as
  /// stripped models and miniatures.
  static let customStableDiffusion1 = Family(
    name: "sd-v1-custom", title: "Stable Diffusion 1.x of other sizes",
    architecture: .stableDiffusion1, template: nil, matches: \.hasOneTextEncoder)
}

extension ModelConfigs {
  /// Whether the U-Net attends to the states of a single text encoder without projection, has no
  /// added embedding, and has known latents.
  var hasOneTextEncoder: Bool {
    guard textEncoders.count == 1, let encoder = textEncoders.first else { return false }
    return encoder.projectionDim == nil && encoder.hiddenSize == unet.textWidth
      && unet.additionEmbedding == nil && hasKnownLatents
  }

  /// Whether the U-Net's output is a latent, and its input a latent alone or with a mask and a
  /// masked latent.
  var hasKnownLatents: Bool {
    let latent = vae.latentChannels
    return unet.outChannels == latent && [latent, 2 * latent + 1].contains(unet.inChannels)
  }
}
