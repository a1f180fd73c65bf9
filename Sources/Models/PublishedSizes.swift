package import ModelSources

extension ModelSource.Component {
  /// Whether a published model has a component with the module tree of this config. A config with such a
  /// tree that was derived from tensors is then known, although tensors do not show each member.
  package var hasPublishedSizes: Bool {
    switch name {
    case ComponentName.unet:
      (try? UNetConfig(json: config, location: name))
        .map { PublishedTrees.all.unets.contains(UNetSpec($0)) } ?? false
    case ComponentName.vae:
      (try? VAEConfig(json: config, location: name))
        .map { PublishedTrees.all.autoencoders.contains(VAESpec($0)) } ?? false
    default:
      (try? TextEncoderConfig(json: config, location: name, className: className))
        .map { PublishedTrees.all.textEncoders.contains(TextEncoderSpec($0)) } ?? false
    }
  }
}

/// The module trees of the published models.
private struct PublishedTrees {
  static let all = PublishedTrees()

  private(set) var unets: Set<UNetSpec> = []
  private(set) var autoencoders: Set<VAESpec> = []
  private(set) var textEncoders: Set<TextEncoderSpec> = []

  private init() {
    for family in Family.all {
      guard let configs = try? family.template?.configs(location: family.name) else { continue }
      unets.insert(UNetSpec(configs.unet))
      autoencoders.insert(VAESpec(configs.vae))
      textEncoders.formUnion(configs.textEncoders.map(TextEncoderSpec.init))
    }
  }
}
