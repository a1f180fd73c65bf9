import Formats
import ModelSources
internal import Support
import Tensors

/// Renames the tensors of a model to the names in single files.
enum LDMNames {
  /// The naming of text encoders.
  enum Dialect {
    /// The naming of Stability's LDM and SGM code, with OpenCLIP's encoders in OpenCLIP's layout.
    case original
    /// The naming of stable-diffusion.cpp, with all encoders in transformers' layout.
    case transformers
  }

  /// The renamed weights of every component, and the ``PredictionMarkers``.
  ///
  /// - Throws: ``SingleFileError`` for a component, tensor or scheduler that single files cannot hold.
  static func sources(
    of model: ModelSource, numbering: BlockNumbering, dialect: Dialect = .original
  ) throws(SingleFileError) -> [any WeightSource] {
    let architecture = Architectures.of(model.components)
    var sources: [any WeightSource] = []
    for component in model.components {
      switch component.name {
      case ComponentName.unet: sources.append(try unet(component, numbering))
      case ComponentName.vae: sources.append(try vae(component))
      case ComponentName.textEncoder, ComponentName.textEncoder2:
        sources.append(try text(component, architecture, dialect))
      default:
        throw .unknownComponent(path: model.location, component: component.name)
      }
    }
    if let markers = try PredictionMarkers.source(of: model, architecture) {
      sources.append(markers)
    }
    return sources
  }

  private static func unet(
    _ component: ModelSource.Component, _ numbering: BlockNumbering
  ) throws(SingleFileError) -> MappedSource {
    let pairs = UNetTopology(config: component.config).pairs(numbering)
    return try mapped(component, prefix: LDMKeys.unet) { name, shape in
      pairs.other(name).map { ($0, shape) }
    }
  }

  private static func vae(
    _ component: ModelSource.Component
  ) throws(SingleFileError) -> MappedSource {
    let levels = component.config["block_out_channels"]?.array?.count ?? 1
    let layers = component.config["layers_per_block"]?.integer ?? 1
    let pairs = AutoencoderNames.pairs(levels: levels, layers: layers)
    return try mapped(component, prefix: LDMKeys.autoencoder) { name, shape in
      let isConvolution = AutoencoderNames.isConvolutionInLDM(name, shape)
      return pairs.other(name).map { ($0, isConvolution ? [shape[0], shape[1], 1, 1] : shape) }
    }
  }

  private static func text(
    _ component: ModelSource.Component, _ architecture: Architecture, _ dialect: Dialect
  ) throws(SingleFileError) -> MappedSource {
    if dialect == .transformers {
      let prefix =
        component.name == ComponentName.textEncoder
        ? LDMKeys.text : LDMKeys.secondText
      return try mapped(component, prefix: prefix + LDMKeys.transformers) { name, shape in
        let isProjection = name == OpenCLIPKeys.projection.diffusers
        return (isProjection ? OpenCLIPKeys.projectionInTransformers : name, shape)
      }
    }
    guard let place = architecture.textPrefixes[component.name] else {
      throw .unknownComponent(path: component.weights.location, component: component.name)
    }
    guard component.isOpenCLIP else {
      return try mapped(component, prefix: place + LDMKeys.transformers) { ($0, $1) }
    }
    return try openCLIP(component, prefix: place + LDMKeys.openCLIP)
  }

  private static func openCLIP(
    _ component: ModelSource.Component, prefix: String
  ) throws(SingleFileError) -> MappedSource {
    let weights = component.weights
    let layers = TextEncoderNames.layers(weights.names, prefix: OpenCLIPKeys.layers.diffusers)
    let pairs = TextEncoderNames.pairs(layers: layers)
    var list: [(name: String, origin: MappedSource.Origin)] = []
    for layer in 0..<layers {
      for kind in OpenCLIPKeys.stackKinds {
        let parts = OpenCLIPKeys.stacked.map { TextEncoderNames.diffusersName(layer, $0, kind) }
        list.append((prefix + TextEncoderNames.openCLIPName(layer, kind), .stacked(parts)))
      }
    }
    let stacked = OpenCLIPKeys.stacked.map { ".self_attn.\($0)." }
    for name in weights.names where !stacked.contains(where: name.contains) {
      guard let shape = weights.entry(name)?.shape else { continue }
      if name == OpenCLIPKeys.positions.diffusers {
        list.append((prefix + OpenCLIPKeys.positions.openCLIP, .tensor(name, shape: shape)))
      } else if name == OpenCLIPKeys.projection.diffusers {
        list.append((prefix + OpenCLIPKeys.projection.openCLIP, .transposed(name)))
      } else if let other = pairs.other(name) {
        list.append((prefix + other, .tensor(name, shape: shape)))
      } else if !name.hasSuffix(SingleFileKeys.positionIDs) {
        throw .missing(path: "\(weights.location) in OpenCLIP's layout", tensor: name)
      }
    }
    return try MappedSource(weights, list)
  }

  /// - Parameter place: maps a tensor's name and shape to those in the file.
  private static func mapped(
    _ component: ModelSource.Component, prefix: String,
    _ place: (String, Shape) -> (String, Shape)?
  ) throws(SingleFileError) -> MappedSource {
    let weights = component.weights
    var list: [(name: String, origin: MappedSource.Origin)] = []
    for name in weights.names where !name.hasSuffix(SingleFileKeys.positionIDs) {
      guard let shape = weights.entry(name)?.shape else { continue }
      guard let (other, extents) = place(name, shape) else {
        throw .missing(path: "\(weights.location) in the LDM layout", tensor: name)
      }
      list.append((prefix + other, .tensor(name, shape: extents)))
    }
    return try MappedSource(weights, list)
  }
}
