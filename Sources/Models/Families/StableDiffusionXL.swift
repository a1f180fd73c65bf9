import Formats
import ModelSources

extension Family {
  static let stableDiffusionXLBase = Family(
    name: "sdxl-base-1.0", title: "Stable Diffusion XL", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.base))

  static let stableDiffusionXLTurbo = Family(
    name: "sdxl-turbo", title: "SDXL Turbo", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.turbo), sampling: .turbo)

  /// A latent consistency model distilled from SDXL.
  static let lcmStableDiffusionXL = Family(
    name: "lcm-sdxl", title: "LCM SDXL", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.lcm), sampling: .consistency)

  static let stableDiffusionXLRefiner = Family(
    name: "sdxl-refiner-1.0", title: "Stable Diffusion XL refiner",
    architecture: .stableDiffusionXLRefiner,
    template: ModelTemplate(StableDiffusionXLConfigs.refiner))

  /// Models with the architecture of Stable Diffusion XL and any widths and depths.
  static let customStableDiffusionXL = Family(
    name: "sdxl-custom", title: "Stable Diffusion XL of other sizes",
    architecture: .stableDiffusionXL,
    template: nil
  ) { configs in
    guard configs.textEncoders.count == 2 else { return false }
    return configs.textEncoders.reduce(0) { $0 + $1.hiddenSize } == configs.unet.textWidth
      && configs.addsPooledText(and: 6) && configs.hasKnownLatents
  }

  /// Models with the architecture of the refiner and any widths and depths.
  static let customStableDiffusionXLRefiner = Family(
    name: "sdxl-refiner-custom", title: "Stable Diffusion XL refiner of other sizes",
    architecture: .stableDiffusionXLRefiner, template: nil
  ) { configs in
    configs.textEncoders.count == 1 && configs.textEncoders[0].hiddenSize == configs.unet.textWidth
      && configs.addsPooledText(and: 5) && configs.hasKnownLatents
  }
}

extension ModelConfigs {
  /// Whether the added embedding takes the last text encoder's pooled text and `numbers` time ids.
  func addsPooledText(and numbers: Int) -> Bool {
    guard let added = unet.additionEmbedding, let pooled = textEncoders.last?.projectionDim else {
      return false
    }
    return added.inputWidth == pooled + numbers * added.timeWidth
  }
}
