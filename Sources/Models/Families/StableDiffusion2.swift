import Formats
import ModelSources

extension Family {
  static let stableDiffusion21Base = Family(
    name: "sd-v2-1-base", title: "Stable Diffusion 2.1 base", architecture: .stableDiffusion2,
    template: ModelTemplate(StableDiffusion2Configs.v21Base))

  static let stableDiffusion21 = Family(
    name: "sd-v2-1", title: "Stable Diffusion 2.1", architecture: .stableDiffusion2,
    template: ModelTemplate(StableDiffusion2Configs.v21))

  static let stableDiffusion2Inpainting = Family(
    name: "sd-v2-inpainting", title: "Stable Diffusion 2 for inpainting",
    architecture: .stableDiffusion2, template: ModelTemplate(StableDiffusion2Configs.inpainting))

  static let stableDiffusionTurbo = Family(
    name: "sd-turbo", title: "SD Turbo", architecture: .stableDiffusion2,
    template: ModelTemplate(StableDiffusion2Configs.turbo), sampling: .turbo)

  /// Models with the architecture of Stable Diffusion 2.x and any widths and depths.
  static let customStableDiffusion2 = Family(
    name: "sd-v2-custom", title: "Stable Diffusion 2.x of other sizes",
    architecture: .stableDiffusion2,
    template: nil
  ) { configs in
    configs.hasOneTextEncoder && configs.unet.useLinearProjection
      && configs.textEncoders[0].activation == .gelu
  }
}
