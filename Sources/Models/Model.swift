package import Tensors

/// A model whose configs are understood and whose every tensor is there, with the right shape.
///
/// This is the door between files and everything that computes: past it, a tensor of the module
/// list can be asked for without a doubt.
package struct Model: Sendable {
  /// A component with the list of what it consists of.
  package struct Component: Sendable {
    /// `unet`, `vae`, `text_encoder`.
    package let name: String
    /// Every layer with weights, in the order of the tree.
    package let modules: [ModuleSpec]
    package let weights: any WeightSource
  }

  /// The source that was bound, unchanged.
  package let source: ModelSource
  package let family: Family
  package let configs: ModelConfigs
  /// The U-Net, the autoencoder and the text encoders, in the source's order.
  package let components: [Component]

  package var unet: UNetConfig { configs.unet }
  package var vae: VAEConfig { configs.vae }
  package var textEncoders: [TextEncoderConfig] { configs.textEncoders }
  package var scheduler: JSONObject? { source.scheduler }

  /// The component of that name, or `nil`.
  package subscript(name: String) -> Component? { components.first { $0.name == name } }

  /// The weights of a component.
  ///
  /// - Precondition: the model has a component of that name, as it has `unet` and `vae`.
  package func weights(of name: String) -> any WeightSource {
    guard let component = self[name] else {
      preconditionFailure("no component '\(name)' among \(components.map(\.name))")
    }
    return component.weights
  }

  /// Height and width of a picture, in pixels, that the model was trained on.
  package var defaultSize: SampleSize {
    // 64 latent pixels a side is what diffusers' pipelines take where the config is silent.
    let latent = unet.sampleSize ?? SampleSize(height: 64, width: 64)
    let factor = vae.downsamplingFactor
    return SampleSize(height: latent.height * factor, width: latent.width * factor)
  }

  /// Reads the configs of `source`, finds its family, and checks every tensor of every component
  /// against the module tree, without reading weights.
  ///
  /// Components that no family knows (a safety checker) are left alone.
  ///
  /// - Throws: ``BindingError``; faulty tensors of all components are listed in one.
  package static func bind(_ source: ModelSource) throws(BindingError) -> Model {
    let unet = try component("unet", of: source)
    let vae = try component("vae", of: source)
    let textEncoders = source.components.filter { Self.textEncoderNames.contains($0.name) }
    if textEncoders.isEmpty { _ = try component(Self.textEncoderNames[0], of: source) }

    let configs: ModelConfigs
    do throws(ConfigError) {
      var textConfigs: [TextEncoderConfig] = []
      for encoder in textEncoders {
        textConfigs.append(
          try TextEncoderConfig(
            json: encoder.config, location: location(of: encoder, in: source),
            className: encoder.className))
      }
      configs = ModelConfigs(
        unet: try UNetConfig(json: unet.config, location: location(of: unet, in: source)),
        vae: try VAEConfig(json: vae.config, location: location(of: vae, in: source)),
        textEncoders: textConfigs)
    } catch {
      throw .config(error)
    }
    guard let family = Family.all.first(where: { $0.matches(configs) }) else {
      throw .unknownFamily(
        location: source.location, facts: configs.facts, known: Family.all.map(\.name))
    }

    var modules = ["unet": configs.unet.modules, "vae": configs.vae.modules]
    for (encoder, config) in zip(textEncoders, configs.textEncoders) {
      modules[encoder.name] = config.modules
    }
    let components = source.components.compactMap { component in
      modules[component.name].map {
        Component(name: component.name, modules: $0, weights: component.weights)
      }
    }
    let faults = components.map { $0.faults() }.filter { !$0.isEmpty }
    guard faults.isEmpty else { throw .tensors(location: source.location, faults) }
    return Model(source: source, family: family, configs: configs, components: components)
  }

  private static let textEncoderNames = ["text_encoder", "text_encoder_2"]

  private static func component(
    _ name: String, of source: ModelSource
  ) throws(BindingError) -> ModelSource.Component {
    guard let component = source[name] else {
      throw .missingComponent(
        location: source.location, name: name, found: source.components.map(\.name))
    }
    return component
  }

  /// How errors name a component's config: where it lies in a diffusers folder.
  private static func location(
    of component: ModelSource.Component, in source: ModelSource
  ) -> String {
    let folder = source.location.hasSuffix("/") ? source.location : source.location + "/"
    return "\(folder)\(component.name)/config.json"
  }
}

/// The typed configs of all components.
package struct ModelConfigs: Sendable {
  package let unet: UNetConfig
  package let vae: VAEConfig
  package let textEncoders: [TextEncoderConfig]

  package init(unet: UNetConfig, vae: VAEConfig, textEncoders: [TextEncoderConfig]) {
    self.unet = unet
    self.vae = vae
    self.textEncoders = textEncoders
  }

  /// What tells families apart, in words.
  var facts: String {
    let encoders = textEncoders.map { encoder in
      "\(encoder.hiddenSize)" + (encoder.projectionDim.map { " projected to \($0)" } ?? "")
    }
    return "a U-Net of \(unet.inChannels) channels in and \(unet.outChannels) out, attention to "
      + "text of width \(unet.textWidth)"
      + (unet.additionEmbedding == nil ? "" : ", an added text and size embedding")
      + ", latents of \(vae.latentChannels) channels, and text encoders of width "
      + encoders.joined(separator: " and ")
  }
}

extension Model.Component {
  /// Buffers that old versions of the libraries wrote beside the weights.
  static let buffers: Set<String> = ["text_model.embeddings.position_ids"]

  /// Everything in which the component's tensors differ from its module tree.
  func faults() -> ComponentFaults {
    var faults = ComponentFaults(component: name)
    var expected: Set<String> = []
    for tensor in modules.tensors {
      expected.insert(tensor.name)
      guard let entry = weights.entry(tensor.name) else {
        faults.missing.append(tensor)
        continue
      }
      if entry.shape != tensor.shape {
        faults.misshapen.append(
          .init(name: tensor.name, found: entry.shape, expected: tensor.shape))
      } else if !entry.encoding.isWeight {
        faults.unusable.append(.init(name: tensor.name, encoding: entry.encoding.name))
      }
    }
    for name in weights.names where !expected.contains(name) && !Self.buffers.contains(name) {
      faults.unexpected.append(TensorSpec(name: name, shape: weights.entry(name)?.shape ?? []))
    }
    return faults
  }
}

extension TensorEncoding {
  /// Whether numbers so stored can be a layer's: floating-point ones, or codes with scales.
  var isWeight: Bool {
    switch self {
    case .plain(let kind): kind.isFloatingPoint && kind.isWidenable
    case .symmetric: true
    }
  }
}
