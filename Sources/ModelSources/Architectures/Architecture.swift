package import Support

/// A Stable Diffusion architecture: how the components of a pipeline work together, and the facts
/// that neither tensors nor component configs state.
///
/// An architecture is one file in this folder and one line in ``Architectures/all``. Models of one
/// architecture differ in widths, depths and weights.
///
/// The type lives in ModelSources because `Checkpoints` and `Models` both need it, do not import
/// each other, and both import this module; and because an architecture is recognized from a
/// ``ModelSource``'s components. This and
/// ``ForeignKind`` are the only reasons for this module to import `Formats`.
package struct Architecture: Sendable {
  /// The text encoder states that the U-Net attends to.
  package enum TextStates: Sendable {
    /// The last hidden states, after the final norm.
    case last
    /// The hidden states before the last layer, without the norm; with two text encoders, both
    /// concatenated.
    case penultimate
  }

  /// The numbers (diffusers' `time_ids`) that the added embedding takes beside the pooled text.
  package enum TimeIDs: Sendable {
    /// Original height and width, crop top and left, target height and width.
    case sizes
    /// Original height and width, crop top and left, aesthetic score.
    case sizesAndScore

    /// The number of values: 6 for sizes, 5 for sizes and score.
    package var count: Int {
      switch self {
      case .sizes: 6
      case .sizesAndScore: 5
      }
    }
  }

  /// Facts of the autoencoder that its tensors do not show.
  package struct Autoencoder: Sendable {
    /// What latents are multiplied by before the U-Net.
    package let scalingFactor: Double
    /// Whether the published autoencoder overflows in float16, so that its weights stay wider.
    package let needsFloat32: Bool

    init(scalingFactor: Double, needsFloat32: Bool) {
      self.scalingFactor = scalingFactor
      self.needsFloat32 = needsFloat32
    }

    /// These facts as members of an `AutoencoderKL` config.
    package var config: JSONObject {
      var config: JSONObject = ["scaling_factor": .number(scalingFactor)]
      if needsFloat32 { config["force_upcast"] = true }
      return config
    }
  }

  /// The heads of the U-Net's attentions, which its tensors do not show.
  package enum Heads: Hashable, Sendable {
    /// This many at every level.
    case count(Int)
    /// As many as have this width.
    case width(Int)
  }

  /// An OpenCLIP text encoder without a second one, of which diffusers stores neither the last
  /// layer nor the projection, because the U-Net attends to the penultimate states.
  package struct ShortenedTextEncoder: Hashable, Sendable {
    package let width: Int
    /// Layers before the last is removed.
    package let layers: Int
  }

  /// The name in Decant's messages: `sd-v1`, `sdxl`.
  package let name: String
  /// Whether a model with these components, or a file with some of them, has this architecture.
  /// ``Architectures/of(_:)`` tries the architectures in the order of ``Architectures/all``.
  let matches: @Sendable ([ModelSource.Component]) -> Bool

  // MARK: - Pipeline

  /// diffusers' pipeline class.
  package let pipelineClass: String
  /// diffusers' pipeline class for U-Nets that take a mask and a masked image (9 input channels).
  package let inpaintingClass: String
  /// The beginning of the names of diffusers' pipeline classes for this architecture:
  /// `StableDiffusionXL`. A class belongs to the architecture with the longest matching beginning.
  package let pipelinePrefix: String
  /// Further members of `model_index.json`.
  package let index: JSONObject
  package let textStates: TextStates
  /// The width of the states that the U-Nets of published models attend to.
  package let textWidth: Int
  let heads: Heads
  /// The text encoder whose last layer and projection are not stored; `nil` for architectures that
  /// use the whole.
  let shortenedTextEncoder: ShortenedTextEncoder?
  /// `nil` for architectures without an added embedding.
  package let timeIDs: TimeIDs?
  /// The scheduler config of models that have none.
  package let scheduler: JSONObject
  /// Whether the pipeline's constructor sets `steps_offset` to 1 and `clip_sample` to false, as
  /// `StableDiffusionPipeline`'s does.
  package let correctsSchedulers: Bool
  /// Sides of the training images in latent pixels, by prediction type.
  package let sampleSize: @Sendable (PredictionType) -> Int
  package let autoencoder: Autoencoder
  /// The small tokenizer files of each text encoder.
  let tokenizers: [String: [(file: String, text: String)]]

  // MARK: - Single files

  /// The prefix of a text encoder's tensors in the LDM layout, by component name.
  package let textPrefixes: [String: String]
  /// The U-Net tensor from whose values programs infer the prediction type; `nil` where all
  /// published models predict the same.
  package let predictionMark: String?
  /// The `modelspec.architecture` of Stability's model specification, by prediction type.
  package let modelSpec: @Sendable (PredictionType) -> String
  /// The `general.architecture` of GGUF files.
  package let nameInGGUF: String

  /// The member of ``index`` that states ``usesZerosForEmptyPrompt``.
  package static let zerosForEmptyPrompt = "force_zeros_for_empty_prompt"

  /// Whether an absent negative prompt is encoded as zeros instead of as an empty text.
  package var usesZerosForEmptyPrompt: Bool { index[Self.zerosForEmptyPrompt]?.bool ?? false }

  /// Whether an embedding of pooled text and sizes is added to the time embedding.
  package var hasAddedEmbedding: Bool { timeIDs != nil }

  /// The names of the text encoders that a pipeline of this architecture has.
  package var textEncoders: [String] {
    ComponentName.textEncoders.filter { textPrefixes[$0] != nil }
  }

  /// The small tokenizer files of a text encoder; empty for other components.
  package func tokenizerFiles(of component: String) -> [ModelSource.File] {
    guard let folder = ComponentName.tokenizer(of: component) else { return [] }
    return (tokenizers[component] ?? []).map { file, text in
      ModelSource.File(
        path: "\(folder)/\(file)", bytes: ByteSlice([UInt8](text.utf8)), isDefault: true)
    }
  }
}

/// The list of architectures.
package enum Architectures {
  /// Every architecture. The first that matches a model's components is the model's.
  package static let all: [Architecture] = [
    .stableDiffusionXLRefiner,
    .stableDiffusionXL,
    .stableDiffusion2,
    .stableDiffusion1,
  ]

  /// The architecture of a model, or of a file with some of a model's components.
  package static func of(_ components: [ModelSource.Component]) -> Architecture {
    all.first { $0.matches(components) } ?? .stableDiffusion1
  }

  /// The heads of a U-Net, from the width of the text states and whether the projections around
  /// attentions are linear. Those of Stable Diffusion 1 are convolutions.
  package static func heads(textWidth: Int?, isLinear: Bool) -> Architecture.Heads {
    guard isLinear else { return Architecture.stableDiffusion1.heads }
    let published = all.first { $0.textWidth == textWidth }
    return (published ?? .stableDiffusionXL).heads
  }

  /// The text encoder of that width of which diffusers stores a part; `nil` where none has it.
  package static func shortenedTextEncoder(
    width: Int?
  ) -> Architecture.ShortenedTextEncoder? {
    all.lazy.compactMap(\.shortenedTextEncoder).first { $0.width == width }
  }

  /// Whether an index names a pipeline of another architecture than this one.
  package static func pipeline(_ name: String, isForeignTo architecture: Architecture) -> Bool {
    let prefixes = all.map(\.pipelinePrefix).filter { name.hasPrefix($0) }
    guard let own = prefixes.max(by: { $0.count < $1.count }) else { return false }
    return own != architecture.pipelinePrefix
  }
}

// MARK: - Recognition

extension ModelSource.Component {
  /// Whether a text encoder is one of OpenCLIP's, whose activation is the exact GELU.
  package var isOpenCLIP: Bool { config["hidden_act"] == "gelu" }
}

extension [ModelSource.Component] {
  func has(_ name: String) -> Bool { contains { $0.name == name } }

  /// Whether the U-Net has an added embedding. A second text encoder implies one.
  var haveAddedEmbedding: Bool {
    let unet = first { $0.name == ComponentName.unet }
    return unet?.config["addition_embed_type"]?.string != nil || has(ComponentName.textEncoder2)
  }

  /// The width of the text that the U-Net takes; `nil` without a U-Net.
  var textWidth: Int? {
    first { $0.name == ComponentName.unet }?.config["cross_attention_dim"]?.integer
  }
}

extension JSONObject {
  /// Parses a config table: one object, or several of which later ones override members.
  ///
  /// - Precondition: the texts are JSON objects.
  package init(table texts: [String]) {
    self = [:]
    for text in texts {
      guard let object = try? JSONValue(parsing: text).object else {
        preconditionFailure("a config table is not a JSON object: \(text.prefix(60))")
      }
      for (member, value) in object.members { self[member] = value }
    }
  }
}

/// The small files of a CLIP tokenizer.
func tokenizerTexts(
  specialTokens: String, config: String
) -> [(file: String, text: String)] {
  [("special_tokens_map.json", specialTokens), ("tokenizer_config.json", config)]
}
