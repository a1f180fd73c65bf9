import Formats
package import Tensors

/// A model family: everything that varies from one to another is a property of this value.
///
/// A family is one file in `Families/` and its line in ``all``; nothing else in Decant asks which
/// family a model is of.
package struct Family: Sendable {
  /// The name that `--family` takes.
  package let name: String
  /// The name that people use.
  package let title: String
  /// The architecture that the family belongs to: recipes and key maps are made for one.
  package let line: String
  /// The family that this one was cut from, by name.
  package let parent: String?
  /// Configs of the published model; `nil` where the family is open, like models of any width.
  package let template: ModelTemplate?
  /// Whether a model with these configs is of this family. Families are asked in the order of
  /// ``all``, so an exact one comes before an open one.
  package let matches: @Sendable (ModelConfigs) -> Bool

  /// Every family, the exact ones of a line before its open one.
  package static let all: [Family] = [
    .stableDiffusion14,
    .stableDiffusion15,
    .bkSDMBase,
    .bkSDMSmall,
    .bkSDMTiny,
    .customStableDiffusion1,
  ]

  /// The family of that name, or `nil`.
  package static func named(_ name: String) -> Family? { all.first { $0.name == name } }

  /// A family of one published model: whatever has its module tree and its latents.
  ///
  /// - Precondition: the template's configs are sound.
  init(name: String, title: String, line: String, parent: String? = nil, template: ModelTemplate) {
    let configs: ModelConfigs
    do {
      configs = try template.configs(location: name)
    } catch {
      preconditionFailure("the table of \(name): \(error)")
    }
    let unet = UNetSpec(configs.unet)
    let vae = VAESpec(configs.vae)
    let textEncoders = configs.textEncoders.map(TextEncoderSpec.init)
    self.init(name: name, title: title, line: line, parent: parent, template: template) { other in
      // The autoencoder's factor is compared too: it is no part of the tree, but decides pictures.
      UNetSpec(other.unet) == unet && VAESpec(other.vae) == vae
        && other.vae.scalingFactor == configs.vae.scalingFactor
        && other.textEncoders.map(TextEncoderSpec.init) == textEncoders
    }
  }

  init(
    name: String, title: String, line: String, parent: String? = nil, template: ModelTemplate?,
    matches: @escaping @Sendable (ModelConfigs) -> Bool
  ) {
    self.name = name
    self.title = title
    self.line = line
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
    func object(_ text: String) -> JSONObject {
      guard let value = try? JSONValue(parsing: text), let object = value.object else {
        preconditionFailure("a config table is not a JSON object: \(text.prefix(60))")
      }
      return object
    }
    index = object(table.index)
    components = table.components.map { component in
      Component(
        name: component.name, className: component.className, config: object(component.config))
    }
    scheduler = object(table.scheduler)
    files = table.files
  }

  package func configs(location: String) throws(ConfigError) -> ModelConfigs {
    try ModelConfigs(
      components.map { ($0.name, $0.className, $0.config) }, location: location)
  }
}
