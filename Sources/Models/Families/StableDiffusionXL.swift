import Formats

extension Architecture {
  /// Stable Diffusion XL: two text encoders side by side, the second one's pooled text and the
  /// picture's sizes added to the time, an autoencoder that overflows in float16.
  static let stableDiffusionXL = Architecture(
    name: "sdxl", pipelineClass: "StableDiffusionXLPipeline", textStates: .penultimate,
    timeIDs: .sizes, scheduler: object([StableDiffusionXLConfigs.scheduler]),
    correctsSchedulers: false, needsFloat32VAE: true)

  /// The refiner: the second text encoder alone, and an aesthetic score among the sizes.
  static let stableDiffusionXLRefiner = Architecture(
    name: "sdxl-refiner", pipelineClass: "StableDiffusionXLImg2ImgPipeline",
    textStates: .penultimate, timeIDs: .sizesAndScore,
    scheduler: object([StableDiffusionXLConfigs.scheduler]), correctsSchedulers: false,
    needsFloat32VAE: true)
}

extension Family {
  static let stableDiffusionXLBase = Family(
    name: "sdxl-base-1.0", title: "Stable Diffusion XL", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.base))

  static let stableDiffusionXLTurbo = Family(
    name: "sdxl-turbo", title: "SDXL Turbo", architecture: .stableDiffusionXL,
    parent: "sdxl-base-1.0",
    template: ModelTemplate(StableDiffusionXLConfigs.turbo))

  /// A latent consistency model of SDXL's make.
  static let lcmStableDiffusionXL = Family(
    name: "lcm-sdxl", title: "LCM SDXL", architecture: .stableDiffusionXL, parent: "sdxl-base-1.0",
    template: ModelTemplate(StableDiffusionXLConfigs.lcm))

  static let stableDiffusionXLRefiner = Family(
    name: "sdxl-refiner-1.0", title: "Stable Diffusion XL refiner",
    architecture: .stableDiffusionXLRefiner,
    template: ModelTemplate(StableDiffusionXLConfigs.refiner))

  /// Models that are put together as Stable Diffusion XL is, of any width and depth.
  static let customStableDiffusionXL = Family(
    name: "sdxl-custom", title: "Stable Diffusion XL of other sizes",
    architecture: .stableDiffusionXL,
    template: nil
  ) { configs in
    guard configs.textEncoders.count == 2 else { return false }
    return configs.textEncoders.reduce(0) { $0 + $1.hiddenSize } == configs.unet.textWidth
      && configs.addsPooledText(and: 6) && configs.hasKnownLatents
  }

  static let customStableDiffusionXLRefiner = Family(
    name: "sdxl-refiner-custom", title: "Stable Diffusion XL refiner of other sizes",
    architecture: .stableDiffusionXLRefiner, template: nil
  ) { configs in
    configs.textEncoders.count == 1 && configs.textEncoders[0].hiddenSize == configs.unet.textWidth
      && configs.addsPooledText(and: 5) && configs.hasKnownLatents
  }
}

extension ModelConfigs {
  /// Whether the U-Net adds the last text encoder's pooled text and so many numbers to the time.
  func addsPooledText(and numbers: Int) -> Bool {
    guard let added = unet.additionEmbedding, let pooled = textEncoders.last?.projectionDim else {
      return false
    }
    return added.inputWidth == pooled + numbers * added.timeWidth
  }
}
