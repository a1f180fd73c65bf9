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
    _ list: [(String, MappedSource.Origin)]
  ) throws(SingleFileError) -> ModelSource.Component {
    let known = carried?.component(name)
    return ModelSource.Component(
      name: name, className: known?.className ?? className, config: known?.config ?? config,
      weights: try MappedSource(weights, location: path, list.map { (name: $0.0, origin: $0.1) }))
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
      group.origins = try group.origins.map { name, _ throws(SingleFileError) in
        let origin = AveragedNames.averaged(name)
        guard weights.entry(origin) != nil else { throw .missing(path: path, tensor: origin) }
        return (name, origin)
      }
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
    return try component(ComponentName.unet, "UNet2DConditionModel", config, list)
  }

  // MARK: - Autoencoder

  func vae(_ group: TensorGroups.Group, _ architecture: Architecture) throws(SingleFileError)
    -> ModelSource.Component
  {
    let isLDM = group.has(prefix: "encoder.down.") || group.has(prefix: "decoder.up.")
    // In diffusers' layout, old names are replaced by current ones.
    let renamed: [(name: String, origin: String)] = group.origins.compactMap { name, origin in
      if isLDM { return (name, origin) }
      guard case .named(let current, _) = KeyRule.apply(DiffusersKeys.autoencoder, to: name)
      else { return nil }
      return (current, origin)
    }
    let origins = Dictionary(renamed.map { ($0.name, $0.origin) }) { first, _ in first }
    let levels = TextEncoderNames.layers(
      origins.keys, prefix: isLDM ? "encoder.down." : "encoder.down_blocks.")
    let layers = TextEncoderNames.layers(
      origins.keys, prefix: isLDM ? "encoder.down.0.block." : "encoder.down_blocks.0.resnets.")
    let pairs = AutoencoderNames.pairs(levels: levels, layers: layers)
    func original(_ name: String) -> String? {
      origins[isLDM ? name : pairs.diffusers(name) ?? name]
    }
    var config = try AutoencoderNames.config(path: path) { shape(original($0)) }
    for (name, value) in architecture.autoencoder.config.members { config[name] = value }
    let list = renamed.map { name, origin in
      let diffusers = isLDM ? pairs.diffusers(name) ?? name : name
      var shape = shape(origin) ?? []
      if diffusers.contains(".attentions."), shape.rank == 4, shape[2] == 1, shape[3] == 1 {
        shape = [shape[0], shape[1]]
      }
      return (diffusers, MappedSource.Origin.tensor(origin, shape: shape))
    }
    return try component(ComponentName.vae, "AutoencoderKL", config, list)
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
    // OpenCLIP's encoders use the exact GELU under transformers' names too.
    let usesGELU =
      isOpenCLIP || Architectures.shortenedTextEncoder(width: width) != nil || isSecond
      || mapped.entry(OpenCLIPKeys.projection.diffusers) != nil
    let config = try TextEncoderNames.config(of: mapped, isOpenCLIP: usesGELU, path: path)
    let hasProjection = mapped.entry(OpenCLIPKeys.projection.diffusers) != nil
    // SDXL's refiner has the second text encoder alone.
    let name =
      isSecond || group.isXL && isOpenCLIP || hasProjection
      ? ComponentName.textEncoder2 : ComponentName.textEncoder
    return try component(
      name, hasProjection ? "CLIPTextModelWithProjection" : "CLIPTextModel", config, list)
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
      if name == "text_projection" || name == "text_projection.weight" {
        list.append((OpenCLIPKeys.projection.diffusers, origin))
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
    let prefix = OpenCLIPKeys.layers.openCLIP
    guard name.hasPrefix(prefix) else { return nil }
    let parts = name.dropFirst(prefix.count).split(separator: ".", maxSplits: 1)
    guard parts.count == 2, let layer = Int(parts[0]),
      let kind = OpenCLIPKeys.stackKinds.first(where: { parts[1] == OpenCLIPKeys.stack + $0 })
    else { return nil }
    return (layer, kind)
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
