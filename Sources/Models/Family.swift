import Formats
package import ModelSources
package import Support

/// A model family: everything that varies from one to another is a property of this value.
///
/// A family is one file in `Families/` and its line in ``all``; nothing else in Decant asks which
/// family a model is of.
package struct Family: Sendable {
  /// The name that `--family` takes.
  package let name: String
  /// The name that people use.
  package let title: String
  /// The architecture that the family belongs to: how the parts of its pipeline work together.
  package let architecture: Architecture
  /// The family that this one was cut from, by name.
  package let parent: String?
  /// Configs of the published model; `nil` where the family is open, like models of any width.
  package let template: ModelTemplate?
  /// Whether a model with these configs is of this family. An exact family comes before an open one.
  package let matches: @Sendable (ModelConfigs) -> Bool

  /// Every family, the exact ones of a line before its open one.
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

  /// The family of a model: of those that it matches, the one whose published model is most like
  /// it in what weights do not show (what is predicted, the size of pictures, the scheduler), the
  /// first of several.
  static func of(_ configs: ModelConfigs, scheduler: JSONObject?) -> Family? {
    let found = all.filter { $0.matches(configs) }
    let exact = found.filter { $0.template != nil }
    func likeness(_ family: Family) -> Int {
      guard let template = family.template else { return 0 }
      let unet = template.components.first { $0.name == ComponentName.unet }?.config
      let marks: [(JSONValue?, JSONValue?, Int)] = [
        (
          template.scheduler["prediction_type"] ?? "epsilon",
          scheduler?["prediction_type"] ?? "epsilon", 4
        ),
        (unet?["sample_size"], configs.unet.json["sample_size"], 2),
        (template.scheduler["timestep_spacing"], scheduler?["timestep_spacing"], 1),
      ]
      return marks.reduce(0) { $0 + ($1.0 == $1.1 ? $1.2 : 0) }
    }
    let best = exact.map(likeness).max()
    return exact.first { likeness($0) == best } ?? found.first
  }

  /// The published family that has most in common with a model of none: tensors of the U-Net by name
  /// and shape, the number of text encoders, and what is added to the time.
  static func nearest(to configs: ModelConfigs) -> (name: String, facts: String) {
    let tensors = Set(configs.unet.modules.tensors)
    var best: (score: Double, name: String, facts: String) = (-1, "", "")
    for family in all {
      guard let other = try? family.template?.configs(location: family.name) else { continue }
      let others = Set(other.unet.modules.tensors)
      let union = tensors.union(others).count
      var score = Double(tensors.intersection(others).count) / Double(max(1, union))
      if configs.textEncoders.count == other.textEncoders.count { score += 1 }
      if (configs.unet.additionEmbedding == nil) == (other.unet.additionEmbedding == nil) {
        score += 1
      }
      if score > best.score { best = (score, family.name, other.facts) }
    }
    return (best.name, best.facts)
  }

  /// The family of that name, or `nil`.
  package static func named(_ name: String) -> Family? { all.first { $0.name == name } }

  /// A family of one published model: whatever has its module tree and its latents.
  ///
  /// - Precondition: the template's configs are sound.
  init(
    name: String, title: String, architecture: Architecture, parent: String? = nil,
    template: ModelTemplate
  ) {
    let configs: ModelConfigs
    do {
      configs = try template.configs(location: name)
    } catch {
      preconditionFailure("the table of \(name): \(error)")
    }
    let unet = UNetSpec(configs.unet)
    let vae = VAESpec(configs.vae)
    let textEncoders = configs.textEncoders.map(TextEncoderSpec.init)
    self.init(
      name: name, title: title, architecture: architecture, parent: parent, template: template
    ) { other in
      // The autoencoder's factor is compared too: it is no part of the tree, but decides pictures.
      UNetSpec(other.unet) == unet && VAESpec(other.vae) == vae
        && other.vae.scalingFactor == configs.vae.scalingFactor
        && other.textEncoders.map(TextEncoderSpec.init) == textEncoders
    }
  }

  init(
    name: String, title: String, architecture: Architecture, parent: String? = nil,
    template: ModelTemplate?,
    matches: @escaping @Sendable (ModelConfigs) -> Bool
  ) {
    self.name = name
    self.title = title
    self.architecture = architecture
    self.parent = parent
    self.template = template
    self.matches = matches
  }
}

/// The configs of a published model, as its files have them.
package struct ModelTemplate: Sendable {
  package struct Component: Sendable {
    package let name: String
    package let className: String
    package let config: JSONObject
  }

  /// `model_index.json`.
  package let index: JSONObject
  /// In the order of diffusers' folders: by name.
  package let components: [Component]
  package let scheduler: JSONObject
  /// Small files by path, as text: `tokenizer/tokenizer_config.json`. Vocabulary and merges are no
  /// part of it.
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

  package func configs(location: String) throws(ConfigError) -> ModelConfigs {
    try ModelConfigs(
      components.map { ($0.name, $0.className, $0.config) }, location: location)
  }
}
