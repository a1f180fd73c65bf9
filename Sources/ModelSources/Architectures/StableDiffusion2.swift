internal import Formats
internal import Support

extension Architecture {
  /// Stable Diffusion 2.x: as 1.x, with OpenCLIP-H as the text encoder and linear projections
  /// around attentions. The text encoder lacks OpenCLIP-H's last layer, so its last hidden states
  /// are OpenCLIP-H's penultimate ones.
  package static let stableDiffusion2 = Architecture(
    name: "sd-v2",
    matches: { !$0.haveAddedEmbedding && $0.haveOpenCLIPText },
    pipelineClass: "StableDiffusionPipeline", inpaintingClass: "StableDiffusionInpaintPipeline",
    pipelinePrefix: "StableDiffusion", index: [:], textStates: .last,
    textWidth: SingleFileFacts.openCLIPHWidth, heads: .width(64),
    shortenedTextEncoder: ShortenedTextEncoder(
      width: SingleFileFacts.openCLIPHWidth, layers: SingleFileFacts.openCLIPHLayers),
    timeIDs: nil,
    scheduler: JSONObject(table: [StableDiffusion2Configs.scheduler]), correctsSchedulers: true,
    sampleSize: { $0 == .velocity ? 96 : 64 },
    autoencoder: Autoencoder(scalingFactor: SingleFileFacts.scalingFactor, needsFloat32: false),
    tokenizers: [
      ComponentName.textEncoder: tokenizerTexts(
        specialTokens: StableDiffusion2Configs.specialTokensMap,
        config: StableDiffusion2Configs.tokenizerConfig)
    ],
    textPrefixes: [ComponentName.textEncoder: LDMKeys.text],
    predictionMark: SingleFileFacts.velocityBias,
    modelSpec: {
      $0 == .velocity ? "stable-diffusion-v2-768-v" : "stable-diffusion-v2-512"
    },
    // Programs that read GGUF have no separate name for Stable Diffusion 2.
    nameInGGUF: "sd1")
}

extension [ModelSource.Component] {
  /// Whether the text encoder is OpenCLIP's. Without a text encoder, the width of the text that the
  /// U-Net takes decides.
  var haveOpenCLIPText: Bool {
    if let text = first(where: { $0.name == ComponentName.textEncoder }) { return text.isOpenCLIP }
    return textWidth == Architecture.stableDiffusion2.textWidth
  }
}
