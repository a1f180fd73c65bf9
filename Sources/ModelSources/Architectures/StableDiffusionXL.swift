internal import Formats
internal import Support

extension Architecture {
  /// Stable Diffusion XL: two text encoders whose states are concatenated, an added embedding of
  /// the second one's pooled text and the image sizes, an autoencoder that overflows in float16.
  package static let stableDiffusionXL = Architecture(
    name: "sdxl",
    matches: {
      $0.haveAddedEmbedding
        && ($0.has(ComponentName.textEncoder) || !$0.has(ComponentName.textEncoder2))
    },
    pipelineClass: "StableDiffusionXLPipeline",
    inpaintingClass: "StableDiffusionXLInpaintPipeline",
    pipelinePrefix: "StableDiffusionXL", index: [Architecture.zerosForEmptyPrompt: true],
    textStates: .penultimate, textWidth: 2048, heads: .width(64), shortenedTextEncoder: nil,
    timeIDs: .sizes,
    scheduler: JSONObject(table: [StableDiffusionXLConfigs.scheduler]), correctsSchedulers: false,
    sampleSize: { _ in 128 }, autoencoder: autoencoderXL,
    tokenizers: [
      ComponentName.textEncoder: clipTokenizer, ComponentName.textEncoder2: openCLIPTokenizer,
    ],
    textPrefixes: [
      ComponentName.textEncoder: LDMKeys.textXL, ComponentName.textEncoder2: LDMKeys.secondTextXL,
    ],
    predictionMark: nil, modelSpec: { _ in "stable-diffusion-xl-v1-base" }, nameInGGUF: "sdxl")

  static let autoencoderXL = Autoencoder(
    scalingFactor: SingleFileFacts.scalingFactorXL, needsFloat32: true)

  /// OpenCLIP's tokenizer, which pads with `!`.
  static let openCLIPTokenizer = tokenizerTexts(
    specialTokens: StableDiffusionXLConfigs.specialTokensMap2,
    config: StableDiffusionXLConfigs.tokenizerConfig2)
}
