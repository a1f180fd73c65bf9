import Formats
package import ModelSources
package import Support

/// A model family: a published model and all models with its configs, such as Stable Diffusion 1.5
/// or SSD-1B; or an open family, which holds the other models of an architecture.
///
/// A family is declared in `Families/` and listed in ``all``. Code outside this module uses the
/// properties of a family and never compares its name.
package struct Family: Sendable {
  /// The name that `--family` takes.
  package let name: String
  /// The name in messages and reports.
  package let title: String
  /// How the components of the pipeline work together.
  package let architecture: Architecture
  /// Configs of the published model; `nil` for an open family.
  package let template: ModelTemplate?
  /// How images are usually generated.
  package let sampling: UsualSampling
  /// Whether a model with these configs belongs to the family.
  package let matches: @Sendable (ModelConfigs) -> Bool

  /// Every family. The published families of an architecture precede its open one.
  package static let all: [Family] = [
    .stableDiffusion14,
    .stableDiffusion15,
    .stableDiffusion15Inpainting,
    .bkSDMBase,
    .bkSDMSmall,
    .bkSDMTiny,
    .segmindSmall,
    .segmindTiny,
    .lcmDreamshaper,
    .stableDiffusion21Base,
    .stableDiffusion21,
    .stableDiffusion2Inpainting,
    .stableDiffusionTurbo,
    .bkSDMV2Base,
    .bkSDMV2Small,
    .bkSDMV2Tiny,
    .stableDiffusionXLBase,
    .stableDiffusionXLTurbo,
    .lcmStableDiffusionXL,
    .ssd1B,
    .segmindVega,
    .koala700M,
    .koala1B,
    .stableDiffusionXLRefiner,
    .customStableDiffusion2,
    .customStableDiffusion1,
    .customStableDiffusionXL,
    .customStableDiffusionXLRefiner,
  ]

  /// The family of a model; `nil` where none matches.
  ///
  /// Several published families may have the same module tree. Then the one that agrees best in
  /// prediction type, sample size and timestep spacing wins, and the first in a tie.
  static func of(_ configs: ModelConfigs, scheduler: JSONObject?) -> Family? {
    let matching = all.filter { $0.matches(configs) }
    let published = matching.filter { $0.template != nil }
    func agreement(_ family: Family) -> Int {
      guard let template = family.template else { return 0 }
      let unet = template.components.first { $0.name == ComponentName.unet }?.config
      let members: [(JSONValue?, JSONValue?, weight: Int)] = [
        (
          PredictionType(scheduler: template.scheduler).json,
          PredictionType(scheduler: scheduler).json, 4
        ),
        (unet?["sample_size"], configs.unet.json["sample_size"], 2),
        (template.scheduler["timestep_spacing"], scheduler?["timestep_spacing"], 1),
      ]
      return members.reduce(0) { $0 + ($1.0 == $1.1 ? $1.weight : 0) }
    }
    let best = published.map(agreement).max()
    return published.first { agreement($0) == best } ?? matching.first
  }

  /// The family of that name, or `nil`.
  package static func named(_ name: String) -> Family? {
    member(named: name, of: all) { [$0.name, $0.title] }
  }

  /// The family of one published model: all models with its module tree and scaling factor.
  ///
  /// - Precondition: the template's configs are valid.
  init(
    name: String, title: String, architecture: Architecture,
    template: ModelTemplate, sampling: UsualSampling = .standard
  ) {
    let configs: ModelConfigs
    do {
      configs = try template.configs(location: name)
    } catch {
      preconditionFailure("config table of \(name): \(error)")
    }
    let unet = UNetSpec(configs.unet)
    let vae = VAESpec(configs.vae)
    let textEncoders = configs.textEncoders.map(TextEncoderSpec.init)
    self.init(
      name: name, title: title, architecture: architecture, template: template,
      sampling: sampling
    ) { other in
      // The scaling factor is not part of the module tree, but images depend on it.
      UNetSpec(other.unet) == unet && VAESpec(other.vae) == vae
        && other.vae.scalingFactor == configs.vae.scalingFactor
        && other.textEncoders.map(TextEncoderSpec.init) == textEncoders
    }
  }

  init(
    name: String, title: String, architecture: Architecture,
    template: ModelTemplate?, sampling: UsualSampling = .standard,
    matches: @escaping @Sendable (ModelConfigs) -> Bool
  ) {
    self.name = name
    self.title = title
    self.architecture = architecture
    self.template = template
    self.sampling = sampling
    self.matches = matches
  }
}

/// How images are usually generated with the models of a family.
package struct UsualSampling: Sendable {
  /// The number of steps; `nil` for models that take any.
  package let steps: Int?
  /// The scale of classifier-free guidance; 1 for models that are used without it.
  package let guidanceScale: Double

  /// diffusers' default of `StableDiffusionPipeline`.
  package static let standard = UsualSampling(steps: nil, guidanceScale: 7.5)
  /// Models distilled to 1 to 4 steps without guidance (their model cards).
  package static let turbo = UsualSampling(steps: 4, guidanceScale: 1)
  /// Latent consistency models: diffusers' defaults of `LatentConsistencyModelPipeline`.
  package static let consistency = UsualSampling(steps: 4, guidanceScale: 8.5)
}

/// The configs of a published model, as its files state them.
package struct ModelTemplate: Sendable {
  /// A component's class and config.
  package struct Component: Sendable {
    package let name: String
    package let className: String
    package let config: JSONObject
  }

  /// `model_index.json`.
  package let index: JSONObject
  /// Sorted by name, as diffusers' folders are.
  package let components: [Component]
  package let scheduler: JSONObject
  /// Small text files by path, such as `tokenizer/tokenizer_config.json`; vocabulary and merges are
  /// not among them.
  package let files: [(path: String, text: String)]

  /// - Precondition: the table's texts are JSON objects.
  init(_ table: ModelConfigTable) {
    index = JSONObject(table: table.index)
    components = table.components.map { component in
      Component(
        name: component.name, className: component.className,
        config: JSONObject(table: component.config))
    }
    scheduler = JSONObject(table: table.scheduler)
    files = table.files
  }

  /// - Parameter location: the model's location in errors.
  package func configs(location: String) throws(ConfigError) -> ModelConfigs {
    try ModelConfigs(
      components.map { ($0.name, $0.className, $0.config) }, location: location)
  }
}
