import Formats
import ModelSources
internal import Support
import Tensors

/// A model's tensors under the names that single files have for them.
enum LDMNames {
  /// Whose names are taken for text encoders.
  enum Dialect {
    /// Stability's LDM and SGM: OpenCLIP's encoders in OpenCLIP's layout.
    case original
    /// stable-diffusion.cpp's: all encoders in transformers' layout.
    case transformers
  }

  /// Every component's weights, renamed.
  ///
  /// - Throws: ``SingleFileError`` for a component or a tensor that has no place in such a file.
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
      let isFlattened = AutoencoderNames.isFlattened(name, shape)
      return pairs.other(name).map { ($0, isFlattened ? [shape[0], shape[1], 1, 1] : shape) }
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
        let isProjection = name == OpenCLIPKeys.projection.ours
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
    let layers = TextEncoderNames.layers(weights.names, prefix: OpenCLIPKeys.layers.ours)
    let pairs = TextEncoderNames.pairs(layers: layers)
    var list: [(name: String, origin: MappedSource.Origin)] = []
    for layer in 0..<layers {
      for kind in OpenCLIPKeys.stackKinds {
        let parts = OpenCLIPKeys.stacked.map { TextEncoderNames.ours(layer, $0, kind) }
        list.append((prefix + TextEncoderNames.theirs(layer, kind), .stacked(parts)))
      }
    }
    let stacked = OpenCLIPKeys.stacked.map { ".self_attn.\($0)." }
    for name in weights.names where !stacked.contains(where: name.contains) {
      guard let shape = weights.entry(name)?.shape else { continue }
      if name == OpenCLIPKeys.positions.ours {
        list.append((prefix + OpenCLIPKeys.positions.theirs, .tensor(name, shape: shape)))
      } else if name == OpenCLIPKeys.projection.ours {
        list.append((prefix + OpenCLIPKeys.projection.theirs, .transposed(name)))
      } else if let theirs = pairs.other(name) {
        list.append((prefix + theirs, .tensor(name, shape: shape)))
      } else if !name.hasSuffix(SingleFileKeys.positionIDs) {
        throw .missing(path: "\(weights.location) in OpenCLIP's layout", tensor: name)
      }
    }
    return try MappedSource(weights, list)
  }

  /// - Parameter place: the name and the shape that a tensor has in the file.
  private static func mapped(
    _ component: ModelSource.Component, prefix: String,
    _ place: (String, Shape) -> (String, Shape)?
  ) throws(SingleFileError) -> MappedSource {
    let weights = component.weights
    var list: [(name: String, origin: MappedSource.Origin)] = []
    for name in weights.names where !name.hasSuffix(SingleFileKeys.positionIDs) {
      guard let shape = weights.entry(name)?.shape else { continue }
      guard let (theirs, extents) = place(name, shape) else {
        throw .missing(path: "\(weights.location) in the LDM layout", tensor: name)
      }
      list.append((prefix + theirs, .tensor(name, shape: extents)))
    }
    return try MappedSource(weights, list)
  }
}
