internal import Formats
internal import Support

extension Architecture {
  /// Stable Diffusion 1.x: a CLIP-L text encoder, a U-Net that attends to its last hidden states,
  /// latents of four channels.
  ///
  /// Also the architecture of files that fit no other, such as a lone autoencoder.
  package static let stableDiffusion1 = Architecture(
    name: "sd-v1",
    matches: { !$0.haveAddedEmbedding && !$0.haveOpenCLIPText },
    pipelineClass: "StableDiffusionPipeline", inpaintingClass: "StableDiffusionInpaintPipeline",
    pipelinePrefix: "StableDiffusion", index: [:], textStates: .last, textWidth: 768,
    heads: .count(8), shortenedTextEncoder: nil, timeIDs: nil,
    scheduler: JSONObject(table: [StableDiffusion1Configs.scheduler]), correctsSchedulers: true,
    sampleSize: { _ in 64 },
    autoencoder: Autoencoder(scalingFactor: SingleFileFacts.scalingFactor, needsFloat32: false),
    tokenizers: [ComponentName.textEncoder: clipTokenizer],
    textPrefixes: [ComponentName.textEncoder: LDMKeys.text], predictionMark: nil,
    modelSpec: { _ in "stable-diffusion-v1" }, nameInGGUF: "sd1")

  /// CLIP-L's tokenizer, which pads with `<|endoftext|>`.
  static let clipTokenizer = tokenizerTexts(
    specialTokens: StableDiffusion1Configs.specialTokensMap,
    config: StableDiffusion1Configs.tokenizerConfig)
}
