import Formats
import ModelSources
import Support

/// A line of models, as single files and GGUF files have it: what of its layout differs from that of
/// other lines, and what no tensor of such a file shows.
struct SingleFileLine: Sendable {
  /// Whether the components of a model, or of a part of one, are put together as this line's are;
  /// asked in the order of ``SingleFileLines/all``.
  let recognizes: @Sendable (SingleFileMarks) -> Bool

  // MARK: - Layout

  /// What stands before the names of a text encoder, by its component.
  let textPrefixes: [String: String]
  /// Whether the pooled text and the picture's sizes are added to the time. Programs know such
  /// U-Nets by the depths of their transformers.
  let addsToTime: Bool
  /// A tensor of the U-Net whose numbers tell programs what it predicts; `nil` for lines whose
  /// published models predict one thing.
  let predictionMark: String?
  /// Stability's model specification of it, by what the model predicts.
  let architecture: @Sendable (_ prediction: String) -> String
  /// What `general.architecture` of a GGUF file calls it.
  let architectureInGGUF: String

  // MARK: - What no tensor shows

  /// diffusers' class of pipeline, and the one for U-Nets that are shown a mask.
  let pipelineClass: String
  let inpaintingClass: String
  /// What else `model_index.json` says.
  let index: JSONObject
  /// The scheduler's config, as text.
  let scheduler: String
  /// The small texts of each text encoder's tokenizer, by file.
  let tokenizers: [String: [(file: String, text: String)]]
  /// Latent pixels of a side of the pictures that it was trained on, by what the model predicts.
  let sampleSize: @Sendable (_ prediction: String) -> Int
  /// Members of the autoencoder's config.
  let autoencoder: JSONObject

  /// The small files of the tokenizer of that text encoder; none of another component.
  func tokenizerFiles(of component: String) -> [ModelSource.File] {
    guard let folder = ComponentName.tokenizer(of: component) else { return [] }
    return (tokenizers[component] ?? []).map { file, text in
      ModelSource.File(path: "\(folder)/\(file)", bytes: ByteSlice([UInt8](text.utf8)))
    }
  }
}

/// What lines are told apart by.
struct SingleFileMarks {
  /// Whether the U-Net adds something to the time, or the second text encoder is there, which belongs
  /// to such a U-Net.
  let addsToTime: Bool
  let hasFirstText: Bool
  let hasSecondText: Bool
  /// Whether the text is OpenCLIP's: the first text encoder says so, or, without one, the width
  /// that the U-Net takes.
  let isOpenCLIP: Bool

  init(_ components: [ModelSource.Component]) {
    func config(_ name: String) -> JSONObject? { components.first { $0.name == name }?.config }
    let (unet, text) = (config(ComponentName.unet), config(ComponentName.textEncoder))
    hasFirstText = text != nil
    hasSecondText = config(ComponentName.textEncoder2) != nil
    addsToTime = unet?["addition_embed_type"]?.string != nil || hasSecondText
    isOpenCLIP =
      text.map(TextEncoderNames.isOpenCLIP)
      ?? (unet?["cross_attention_dim"]?.integer == SingleFileFacts.openCLIPHWidth)
  }
}

/// The lines, a line each; the first that recognizes a model is its line.
enum SingleFileLines {
  static let all: [SingleFileLine] = [
    .stableDiffusionXLRefiner,
    .stableDiffusionXL,
    .stableDiffusion2,
    .stableDiffusion1,
  ]

  /// The line that these components are of.
  static func of(_ components: [ModelSource.Component]) -> SingleFileLine {
    let marks = SingleFileMarks(components)
    return all.first { $0.recognizes(marks) } ?? .stableDiffusion1
  }
}

extension SingleFileLine {
  /// Also what nothing says more of: an autoencoder alone.
  static let stableDiffusion1 = SingleFileLine(
    recognizes: { !$0.addsToTime && !$0.isOpenCLIP },
    textPrefixes: [ComponentName.textEncoder: LDMKeys.text], addsToTime: false, predictionMark: nil,
    architecture: { _ in "stable-diffusion-v1" }, architectureInGGUF: "sd1",
    pipelineClass: "StableDiffusionPipeline", inpaintingClass: "StableDiffusionInpaintPipeline",
    index: [:], scheduler: StableDiffusion1Configs.scheduler,
    tokenizers: [ComponentName.textEncoder: clip],
    sampleSize: { _ in 64 },
    autoencoder: ["scaling_factor": .number(SingleFileFacts.scalingFactor)])

  static let stableDiffusion2 = SingleFileLine(
    recognizes: { !$0.addsToTime && $0.isOpenCLIP },
    textPrefixes: [ComponentName.textEncoder: LDMKeys.text], addsToTime: false,
    predictionMark: SingleFileFacts.velocityBias,
    architecture: {
      $0 == "v_prediction" ? "stable-diffusion-v2-768-v" : "stable-diffusion-v2-512"
    },
    // Programs have no word of its own for it.
    architectureInGGUF: "sd1",
    pipelineClass: "StableDiffusionPipeline", inpaintingClass: "StableDiffusionInpaintPipeline",
    index: [:], scheduler: StableDiffusion2Configs.scheduler,
    tokenizers: [
      ComponentName.textEncoder: texts(
        StableDiffusion2Configs.specialTokensMap, StableDiffusion2Configs.tokenizerConfig)
    ],
    sampleSize: { $0 == "v_prediction" ? 96 : 64 },
    autoencoder: ["scaling_factor": .number(SingleFileFacts.scalingFactor)])

  static let stableDiffusionXL = SingleFileLine(
    recognizes: { $0.addsToTime && ($0.hasFirstText || !$0.hasSecondText) },
    textPrefixes: [
      ComponentName.textEncoder: LDMKeys.textXL, ComponentName.textEncoder2: LDMKeys.secondTextXL,
    ],
    addsToTime: true, predictionMark: nil,
    architecture: { _ in "stable-diffusion-xl-v1-base" }, architectureInGGUF: "sdxl",
    pipelineClass: "StableDiffusionXLPipeline",
    inpaintingClass: "StableDiffusionXLInpaintPipeline",
    index: ["force_zeros_for_empty_prompt": true], scheduler: StableDiffusionXLConfigs.scheduler,
    tokenizers: [ComponentName.textEncoder: clip, ComponentName.textEncoder2: openCLIP],
    sampleSize: { _ in 128 }, autoencoder: autoencoderXL)

  /// The second text encoder alone.
  static let stableDiffusionXLRefiner = SingleFileLine(
    recognizes: { $0.addsToTime && !$0.hasFirstText && $0.hasSecondText },
    textPrefixes: [ComponentName.textEncoder2: LDMKeys.textXL],
    addsToTime: true, predictionMark: nil,
    architecture: { _ in "stable-diffusion-xl-v1-refiner" }, architectureInGGUF: "sdxl",
    pipelineClass: "StableDiffusionXLImg2ImgPipeline",
    inpaintingClass: "StableDiffusionXLImg2ImgPipeline",
    index: ["force_zeros_for_empty_prompt": false, "requires_aesthetics_score": true],
    scheduler: StableDiffusionXLConfigs.scheduler,
    tokenizers: [ComponentName.textEncoder2: openCLIP],
    sampleSize: { _ in 128 }, autoencoder: autoencoderXL)

  private static let autoencoderXL: JSONObject = [
    "scaling_factor": .number(SingleFileFacts.scalingFactorXL), "force_upcast": true,
  ]

  private static let clip = texts(
    StableDiffusion1Configs.specialTokensMap, StableDiffusion1Configs.tokenizerConfig)
  private static let openCLIP = texts(
    StableDiffusionXLConfigs.specialTokensMap2, StableDiffusionXLConfigs.tokenizerConfig2)

  private static func texts(
    _ specialTokens: String, _ config: String
  ) -> [(file: String, text: String)] {
    [("special_tokens_map.json", specialTokens), ("tokenizer_config.json", config)]
  }
}
