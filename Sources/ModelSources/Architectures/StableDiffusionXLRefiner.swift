internal import Formats
internal import Support

extension Architecture {
  /// The Stable Diffusion XL refiner: the second text encoder alone, and an aesthetic score in the
  /// place of the target size.
  package static let stableDiffusionXLRefiner = Architecture(
    name: "sdxl-refiner",
    matches: {
      $0.haveAddedEmbedding && !$0.has(ComponentName.textEncoder)
        && ($0.has(ComponentName.textEncoder2) || $0.textWidth == textWidthOfRefiner)
    },
    pipelineClass: "StableDiffusionXLImg2ImgPipeline",
    inpaintingClass: "StableDiffusionXLImg2ImgPipeline",
    pipelinePrefix: "StableDiffusionXL",
    index: [Architecture.zerosForEmptyPrompt: false, "requires_aesthetics_score": true],
    textStates: .penultimate, textWidth: textWidthOfRefiner, heads: .width(64),
    shortenedTextEncoder: nil,
    timeIDs: .sizesAndScore,
    scheduler: JSONObject(table: [StableDiffusionXLConfigs.scheduler]), correctsSchedulers: false,
    sampleSize: { _ in 128 }, autoencoder: autoencoderXL,
    tokenizers: [ComponentName.textEncoder2: openCLIPTokenizer],
    textPrefixes: [ComponentName.textEncoder2: LDMKeys.textXL], predictionMark: nil,
    modelSpec: { _ in "stable-diffusion-xl-v1-refiner" }, nameInGGUF: "sdxl")

  /// The width of OpenCLIP-G's states, without those of a first text encoder beside them.
  private static let textWidthOfRefiner = 1280
}
