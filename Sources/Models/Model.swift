package import ModelSources
package import Support
internal import Tensors

/// A checked model: its configs are valid, and every tensor of its module tree exists with the
/// expected shape.
///
/// Everything that computes takes a `Model`, so it can read each tensor of the module lists without
/// further checks.
package struct Model: Sendable {
  /// A component with its module list and weights.
  package struct Component: Sendable {
    /// `unet`, `vae`, `text_encoder`.
    package let name: String
    /// Every layer with weights, in the order of the tree.
    package let modules: [ModuleSpec]
    package let weights: any WeightSource
  }

  /// The source, unchanged.
  package let source: ModelSource
  package let family: Family
  package let configs: ModelConfigs
  /// The U-Net, the autoencoder and the text encoders, in the source's order.
  package let components: [Component]

  package var unet: UNetConfig { configs.unet }
  package var vae: VAEConfig { configs.vae }
  package var textEncoders: [TextEncoderConfig] { configs.textEncoders }
  package var scheduler: JSONObject? { source.scheduler }

  /// The component of that name; `nil` where the model has none.
  package subscript(name: String) -> Component? { components.first { $0.name == name } }

  /// The weights of a component.
  ///
  /// - Precondition: the model has a component of that name. Every model has `unet` and `vae`.
  package func weights(of name: String) -> any WeightSource {
    guard let component = self[name] else {
      preconditionFailure("no component '\(name)' among \(components.map(\.name))")
    }
    return component.weights
  }

  /// Height and width, in pixels, of the images that the model was trained on.
  package var defaultSize: ImageSize {
    // diffusers' pipelines default to 64 latent pixels a side.
    let latent = unet.sampleSize ?? ImageSize(width: 64, height: 64)
    let factor = vae.downsamplingFactor
    return ImageSize(width: latent.width * factor, height: latent.height * factor)
  }

  /// Reads the configs of `source`, finds its family, and checks every tensor of every component
  /// against the module tree, without reading weights.
  ///
  /// Components that are not part of a family, such as a safety checker, are not checked. Tensors
  /// that a component does not use are no faults; ``ModelSource/withoutUnusedTensors()`` removes
  /// them.
  ///
  /// - Throws: ``BindingError``. One error lists the faulty tensors of all components.
  package static func bind(_ source: ModelSource) throws(BindingError) -> Model {
    let known = source.components.filter { ModelConfigs.componentNames.contains($0.name) }
    let found = Set(known.map(\.name))
    let missing = ModelConfigs.required.filter(found.isDisjoint).flatMap { names in
      names == ComponentName.textEncoders
        ? Architectures.of(source.components).textEncoders : [names[0]]
    }
    let foreign = known.foreign.map {
      BindingError.foreign(location: source.location, component: $0.component, kind: $0.kind)
    }
    guard missing.isEmpty else {
      if let foreign { throw foreign }
      throw .missingComponents(
        location: source.location, names: missing, found: source.components.map(\.name),
        unetIsAverage: missing.contains(ComponentName.unet)
          && source.movingAverage == .ignoredWithoutOthers)
    }
    let configs: ModelConfigs
    do {
      configs = try ModelConfigs(
        known.map { ($0.name, $0.className, $0.config) }, location: source.location)
    } catch {
      throw foreign ?? .config(error)
    }
    guard let family = Family.of(configs, scheduler: source.scheduler) else {
      if let foreign { throw foreign }
      let misfit = Family.misfit(of: configs, known)
      throw .unknownFamily(
        location: source.location, nearest: misfit.nearest, differences: misfit.differences,
        remedy: misfit.remedy)
    }

    let components = known.map { component in
      Component(
        name: component.name, modules: configs.modules(of: component.name),
        weights: component.weights)
    }
    let faults = zip(known, components).map { part, component in
      TensorComparison(component, configIsDerived: part.configIsDerived).faults
    }.filter { !$0.isEmpty }
    guard faults.isEmpty else { throw .tensors(location: source.location, faults) }
    return Model(source: source, family: family, configs: configs, components: components)
  }
}

/// The typed configs of all components.
package struct ModelConfigs: Sendable {
  package let unet: UNetConfig
  package let vae: VAEConfig
  package let textEncoders: [TextEncoderConfig]
  /// The component names of ``textEncoders``.
  let textEncoderNames: [String]

  /// Components that a model must have: at least one of each row.
  static let required = [[ComponentName.unet], [ComponentName.vae], ComponentName.textEncoders]

  /// Every component whose config is read.
  static let componentNames = Set(required.joined())

  /// Reads the config of each component.
  ///
  /// - Parameter location: the model's location. Errors name a config by its path in a diffusers
  ///   folder below it.
  /// - Precondition: the components are among ``componentNames`` and include one of each row of
  ///   ``required``.
  init(
    _ components: [(name: String, className: String, config: JSONObject)], location: String
  ) throws(ConfigError) {
    var textEncoders: [TextEncoderConfig] = []
    var textEncoderNames: [String] = []
    var unet: UNetConfig?
    var vae: VAEConfig?
    for (name, className, json) in components {
      let location = configPlace(of: name, in: location)
      switch name {
      case ComponentName.unet: unet = try UNetConfig(json: json, location: location)
      case ComponentName.vae: vae = try VAEConfig(json: json, location: location)
      default:
        textEncoders.append(
          try TextEncoderConfig(json: json, location: location, className: className))
        textEncoderNames.append(name)
      }
    }
    guard let unet, let vae else {
      preconditionFailure("\(location) lacks a U-Net or an autoencoder")
    }
    self.unet = unet
    self.vae = vae
    self.textEncoders = textEncoders
    self.textEncoderNames = textEncoderNames
  }

  /// The config of the text encoder of that name; `nil` where the model has none.
  package func textEncoder(_ component: String) -> TextEncoderConfig? {
    textEncoderNames.firstIndex(of: component).map { textEncoders[$0] }
  }

  /// Every layer with weights of a component; empty for a component without a config here.
  package func modules(of component: String) -> [ModuleSpec] {
    switch component {
    case ComponentName.unet: unet.modules
    case ComponentName.vae: vae.modules
    default: textEncoder(component)?.modules ?? []
    }
  }

  /// The facts that distinguish families, as `name found, expected value` where they differ
  /// from another model's.
  func differences(from other: ModelConfigs) -> [String] {
    zip(facts, other.facts).filter { $0.value != $1.value }.map {
      "\($0.name) \($0.value), expected \($1.value)"
    }
  }

  private var facts: [(name: String, value: String)] {
    let added = unet.additionEmbedding.map { "\($0.inputWidth) (\($0.timeWidth) per time id)" }
    let encoders = textEncoders.map { encoder in
      "\(encoder.hiddenSize)" + (encoder.projectionDim.map { " (projected to \($0))" } ?? "")
    }
    return [
      ("unet input channels", "\(unet.inChannels)"),
      ("unet output channels", "\(unet.outChannels)"),
      ("unet text width", "\(unet.textWidth)"),
      ("unet added embedding width", added ?? "none"),
      ("vae latent channels", "\(vae.latentChannels)"),
      ("text encoder width", encoders.joined(separator: " and ")),
    ]
  }
}

extension Model {
  /// A sentence that says that `model_index.json` names the pipeline of another architecture;
  /// `nil` where it does not. Programs that go by the index do not load such a model.
  package var indexDoubt: String? {
    let architecture = family.architecture
    guard let name = source.index[ModelSource.pipelineClass]?.string,
      Architectures.pipeline(name, isForeignTo: architecture)
    else { return nil }
    return "the index says '\(shown(name))', but these components make a "
      + architecture.pipelineClass
  }

  /// Whether a component's weights must not be narrowed to float16, because its activations would
  /// overflow in programs that compute in the stored type. An autoencoder with `force_upcast`
  /// false does not overflow.
  package func overflowsHalf(_ component: String) -> Bool {
    component == ComponentName.vae && vae.overflowsHalf(in: family.architecture)
  }
}

extension VAEConfig {
  /// Whether the activations of the autoencoder overflow in float16.
  func overflowsHalf(in architecture: Architecture) -> Bool {
    architecture.autoencoder.needsFloat32 && forceUpcast
  }
}
