import Formats
import ModelSources
import Support
import Tensors

/// Builds components with diffusers' names and configs from the tensors of a single file.
struct ComponentBuilder {
  let path: String
  let weights: any WeightSource
  let carried: CarriedConfig?

  private func shape(_ name: String?) -> Shape? { name.flatMap { weights.entry($0)?.shape } }

  private func component(
    _ name: String, _ className: String, _ config: JSONObject,
    _ list: [(String, MappedSource.Origin)],
    nameOfAbsent: @escaping @Sendable (String) -> String? = { _ in nil }
  ) throws(SingleFileError) -> ModelSource.Component {
    let known = carried?.component(name)
    return ModelSource.Component(
      name: name, className: known?.className ?? className, config: known?.config ?? config,
      weights: try MappedSource(
        weights, location: path, list.map { (name: $0.0, origin: $0.1) }, nameOfAbsent: nameOfAbsent
      ),
      configIsDerived: known?.isDerived ?? true)
  }

  private func tensor(_ origin: String) -> MappedSource.Origin {
    .tensor(origin, shape: shape(origin) ?? [])
  }

  // MARK: - U-Net

  /// - Parameter average: whether to use the moving average of the weights.
  func unet(_ group: TensorGroups.Group, average: Bool) throws(SingleFileError)
    -> ModelSource.Component
  {
    var group = group
    if average {
      let averaged = group.origins.map { ($0.name, AveragedNames.averaged($0.name)) }
      let missing = averaged.filter { weights.entry($0.1) == nil }
      if let first = missing.first {
        throw .incompleteAverage(
          path: path, found: averaged.count - missing.count, expected: averaged.count,
          missing: first.1)
      }
      group.origins = averaged
    }
    let origins = Dictionary(group.origins.map { ($0.name, $0.origin) }) { first, _ in first }
    let isLDM = group.has(prefix: "input_blocks.")
    let own = isLDM ? nil : UNetTopology(diffusersNames: group.names).pairs(.dense)
    // The walk takes LDM names, so diffusers' names are translated first.
    func original(_ name: String) -> String? {
      isLDM ? origins[name] : own?.diffusers(name).flatMap { origins[$0] }
    }
    let names = isLDM ? group.names : group.names.compactMap { own?.other($0) }
    let walk = try UNetWalk(names: names, path: path) { shape(original($0)) }
    let config = try walk.config(path: path) { shape(original($0)) }
    let list = group.origins.map { name, origin in
      (isLDM ? walk.pairs.diffusers(name) ?? name : name, tensor(origin))
    }
    let pairs = isLDM ? walk.pairs : nil
    let prefix = group.prefix
    return try component(ComponentName.unet, "UNet2DConditionModel", config, list) { name in
      prefix.map { $0 + (pairs?.other(name) ?? name) }
    }
  }

  // MARK: - Autoencoder

  func vae(_ group: TensorGroups.Group, _ architecture: Architecture) throws(SingleFileError)
    -> ModelSource.Component
  {
    let isLDM = group.has(prefix: "encoder.down.") || group.has(prefix: "decoder.up.")
    let levels = TextEncoderNames.layers(
      group.names, prefix: isLDM ? "encoder.down." : "encoder.down_blocks.")
    let layers = TextEncoderNames.layers(
      group.names, prefix: isLDM ? "encoder.down.0.block." : "encoder.down_blocks.0.resnets.")
    let pairs = AutoencoderNames.pairs(levels: levels, layers: layers)
    // Versions of LDM and of diffusers name the layers of attention differently.
    let renamed: [(name: String, origin: String, flattens: Bool)] = group.origins.compactMap {
      name, origin in
      let diffusers = isLDM ? pairs.diffusers(name) ?? name : name
      guard
        case .named(let current, let flattens) = KeyRule.apply(
          DiffusersKeys.autoencoder, to: diffusers)
      else { return nil }
      return (current, origin, flattens)
    }
    let origins = Dictionary(renamed.map { ($0.name, $0.origin) }) { first, _ in first }
    var config = try AutoencoderNames.config(path: path) { name in
      shape(origins[pairs.diffusers(name) ?? name])
    }
    for (name, value) in architecture.autoencoder.config.members { config[name] = value }
    let list = renamed.map { name, origin, flattens in
      let stored = shape(origin) ?? []
      let plain = flattens ? KeyRule.flattened(stored, of: name) : stored
      return (name, MappedSource.Origin.tensor(origin, shape: plain))
    }
    let prefix = group.prefix
    return try component(ComponentName.vae, "AutoencoderKL", config, list) { name in
      prefix.map { $0 + (isLDM ? pairs.other(name) ?? name : name) }
    }
  }

  // MARK: - Text encoders

  /// - Parameter isSecond: whether the prefix is that of a second text encoder.
  func text(_ group: TensorGroups.Group, isSecond: Bool) throws(SingleFileError)
    -> ModelSource.Component
  {
    let isOpenCLIP = group.origins.contains { $0.name.contains(OpenCLIPKeys.layers.openCLIP) }
    let list = try isOpenCLIP ? openCLIP(group) : transformers(group)
    let mapped = try MappedSource(
      weights, location: path, list.map { (name: $0.0, origin: $0.1) })
    let width = mapped.entry("text_model.embeddings.token_embedding.weight")?.shape.rowLength
    let hasProjection = mapped.entry(OpenCLIPKeys.projection.diffusers) != nil
    let isSecond =
      isSecond
      || self.isSecond(group, isOpenCLIP: isOpenCLIP, width: width, hasProjection: hasProjection)
    // OpenCLIP's encoders use the exact GELU under transformers' names too.
    let usesGELU = isOpenCLIP || Architectures.shortenedTextEncoder(width: width) != nil || isSecond
    // The first text encoder does not use a projection. Some programs store one.
    let projects = isSecond && hasProjection
    let config = try TextEncoderNames.config(
      of: mapped, isOpenCLIP: usesGELU, projects: projects, path: path)
    return try component(
      isSecond ? ComponentName.textEncoder2 : ComponentName.textEncoder,
      projects ? "CLIPTextModelWithProjection" : "CLIPTextModel", config, list)
  }

  /// Whether a text encoder that is alone, or the first of two, has the role of the second one.
  /// SDXL's refiner has the second text encoder alone.
  private func isSecond(
    _ group: TensorGroups.Group, isOpenCLIP: Bool, width: Int?, hasProjection: Bool
  ) -> Bool {
    let names = ComponentName.textEncoders.filter { carried?.component($0) != nil }
    if names.count == 1 { return names[0] == ComponentName.textEncoder2 }
    if group.isXL { return isOpenCLIP }
    if group.hasKnownPrefix { return false }
    switch width {
    case SingleFileKeys.firstTextWidth: return false
    case SingleFileKeys.secondTextWidth: return true
    default: return hasProjection && Architectures.shortenedTextEncoder(width: width) == nil
    }
  }

  /// Whether the last of this many layers is one that diffusers does not store.
  private func lastIsUnused(layers: Int, width: Int?) -> Bool {
    Architectures.shortenedTextEncoder(width: width)?.layers == layers
  }

  /// Maps transformers' names, with or without the prefix of `encoder.layers`.
  private func transformers(
    _ group: TensorGroups.Group
  ) throws(SingleFileError) -> [(String, MappedSource.Origin)] {
    var list: [(name: String, origin: String)] = []
    for (name, origin) in group.origins {
      let name = name.trimming(prefix: LDMKeys.transformers).trimming(prefix: "text_model.")
      if name == OpenCLIPKeys.projection.openCLIP {
        list.append((OpenCLIPKeys.projection.diffusers, origin))
      } else if name.hasPrefix(OpenCLIPKeys.projection.openCLIP + ".") {
        list.append((name, origin))
      } else {
        list.append(("text_model." + name, origin))
      }
    }
    let prefix = OpenCLIPKeys.layers.diffusers
    let layers = TextEncoderNames.layers(list.map(\.name), prefix: prefix)
    let width = list.first { $0.name == "text_model.embeddings.token_embedding.weight" }
      .flatMap { shape($0.origin)?.rowLength }
    let isShortened = lastIsUnused(layers: layers, width: width)
    return list.filter { name, _ in
      !(isShortened && name.hasPrefix("\(prefix)\(layers - 1)."))
    }.map { ($0.name, tensor($0.origin)) }
  }

  private func openCLIP(
    _ group: TensorGroups.Group
  ) throws(SingleFileError) -> [(String, MappedSource.Origin)] {
    let own = group.origins.map { name, origin in
      (name: name.trimming(prefix: LDMKeys.openCLIP), origin: origin)
    }
    let origins = Dictionary(own.map { ($0.name, $0.origin) }) { first, _ in first }
    var layers = TextEncoderNames.layers(origins.keys, prefix: OpenCLIPKeys.layers.openCLIP)
    let width = shape(origins["token_embedding.weight"])?.rowLength
    let isShortened = Architectures.shortenedTextEncoder(width: width) != nil
    if lastIsUnused(layers: layers, width: width) { layers -= 1 }
    let pairs = TextEncoderNames.pairs(layers: layers)
    var list: [(String, MappedSource.Origin)] = []
    for (name, origin) in own {
      if name == OpenCLIPKeys.positions.openCLIP {
        list.append((OpenCLIPKeys.positions.diffusers, tensor(origin)))
      } else if name == OpenCLIPKeys.projection.openCLIP {
        if !isShortened { list.append((OpenCLIPKeys.projection.diffusers, .transposed(origin))) }
      } else if let (layer, kind) = Self.stack(name) {
        guard layer < layers else { continue }
        guard let shape = shape(origin), shape.rows % 3 == 0 else {
          throw .misshapen(
            path: path, tensor: origin, found: shape(origin) ?? [],
            expected: "a number of rows divisible by 3, for queries, keys and values")
        }
        let third = shape.rows / 3
        for (index, part) in OpenCLIPKeys.stacked.enumerated() {
          list.append(
            (
              TextEncoderNames.diffusersName(layer, part, kind),
              .rows(origin, index * third..<(index + 1) * third)
            ))
        }
      } else if let (layer, kind) = Self.layerAndRest(name, after: OpenCLIPKeys.stackModule) {
        // Another tensor of a stack, such as its scales, changes what the layer computes.
        list.append((TextEncoderNames.diffusersName(layer, "q_proj", kind), tensor(origin)))
      } else if let diffusers = pairs.diffusers(name) {
        list.append((diffusers, tensor(origin)))
      } else if !name.hasPrefix("\(OpenCLIPKeys.layers.openCLIP)\(layers).") {
        list.append((name, tensor(origin)))
      }
    }
    return list
  }

  /// The layer and kind (`weight` or `bias`) of a tensor that stacks queries, keys and values.
  private static func stack(_ name: String) -> (layer: Int, kind: String)? {
    layerAndRest(name, after: OpenCLIPKeys.stack).flatMap { layer, kind in
      OpenCLIPKeys.stackKinds.contains(kind) ? (layer, kind) : nil
    }
  }

  /// The layer of a tensor's name in OpenCLIP's layout, and what follows `module`; `nil` for other
  /// names.
  private static func layerAndRest(
    _ name: String, after module: String
  ) -> (layer: Int, rest: String)? {
    let prefix = OpenCLIPKeys.layers.openCLIP
    guard name.hasPrefix(prefix) else { return nil }
    let parts = name.dropFirst(prefix.count).split(separator: ".", maxSplits: 1)
    guard parts.count == 2, let layer = Int(parts[0]), parts[1].hasPrefix(module) else {
      return nil
    }
    return (layer, String(parts[1].dropFirst(module.count)))
  }
}

extension String {
  /// The text without `prefix`, if it has that prefix.
  fileprivate func trimming(prefix: String) -> String {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self
  }
}

extension UNetTopology {
  /// Derives the topology from diffusers' names of a U-Net's tensors.
  init(diffusersNames names: [String]) {
    func levels(_ side: String, resampler: String) -> [Level] {
      (0..<TextEncoderNames.layers(names, prefix: "\(side).")).map { index in
        let block = "\(side).\(index)."
        let resnets = TextEncoderNames.layers(names, prefix: "\(block)resnets.")
        let attentions = TextEncoderNames.layers(names, prefix: "\(block)attentions.")
        return Level(
          attentions: (0..<resnets).map { $0 < attentions },
          hasResampler: names.contains { $0.hasPrefix("\(block)\(resampler).") })
      }
    }
    let resnets = TextEncoderNames.layers(names, prefix: "mid_block.resnets.")
    let hasAttention = names.contains { $0.hasPrefix("mid_block.attentions.") }
    self.init(
      down: levels("down_blocks", resampler: "downsamplers"),
      mid: resnets == 0 ? nil : Mid(resnets: resnets, hasAttention: hasAttention),
      up: levels("up_blocks", resampler: "upsamplers"))
  }
}
