import Formats
import ModelSources
import Support
import Tensors

/// Turns parts of a file into components with diffusers' names and configs.
struct SingleFileComponents {
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

  /// - Parameter average: whether the moving average of the weights is taken.
  func unet(_ part: SingleFileParts.Part, average: Bool) throws(SingleFileError)
    -> ModelSource.Component
  {
    var part = part
    if average {
      part.origins = try part.origins.map { name, _ throws(SingleFileError) in
        let origin = AveragedNames.averaged(name)
        guard weights.entry(origin) != nil else { throw .missing(path: path, tensor: origin) }
        return (name, origin)
      }
    }
    let origins = Dictionary(part.origins.map { ($0.name, $0.origin) }) { first, _ in first }
    let isLDM = part.has(prefix: "input_blocks.")
    let own = isLDM ? nil : UNetTopology(diffusersNames: part.names).pairs(.dense)
    // Walked under LDM names; a file with diffusers' is read as if it had them.
    func original(_ name: String) -> String? {
      isLDM ? origins[name] : own?.diffusers(name).flatMap { origins[$0] }
    }
    let names = isLDM ? part.names : part.names.compactMap { own?.other($0) }
    let walk = try UNetWalk(names: names, path: path) { shape(original($0)) }
    let config = try walk.config(path: path) { shape(original($0)) }
    let list = part.origins.map { name, origin in
      (isLDM ? walk.pairs.diffusers(name) ?? name : name, tensor(origin))
    }
    return try component(ComponentName.unet, "UNet2DConditionModel", config, list)
  }

  // MARK: - Autoencoder

  func vae(_ part: SingleFileParts.Part, _ architecture: Architecture) throws(SingleFileError)
    -> ModelSource.Component
  {
    let isLDM = part.has(prefix: "encoder.down.") || part.has(prefix: "decoder.up.")
    // Names of today, in diffusers' layout.
    let renamed: [(name: String, origin: String)] = part.origins.compactMap { name, origin in
      if isLDM { return (name, origin) }
      guard case .named(let now, _) = KeyRule.apply(DiffusersKeys.autoencoder, to: name)
      else { return nil }
      return (now, origin)
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
      let ours = isLDM ? pairs.diffusers(name) ?? name : name
      var shape = shape(origin) ?? []
      if ours.contains(".attentions."), shape.rank == 4, shape[2] == 1, shape[3] == 1 {
        shape = [shape[0], shape[1]]
      }
      return (ours, MappedSource.Origin.tensor(origin, shape: shape))
    }
    return try component(ComponentName.vae, "AutoencoderKL", config, list)
  }

  // MARK: - Text encoders

  /// - Parameter isSecond: whether it stands where the second of two stands.
  func text(_ part: SingleFileParts.Part, isSecond: Bool) throws(SingleFileError)
    -> ModelSource.Component
  {
    let isOpenCLIP = part.origins.contains { $0.name.contains(OpenCLIPKeys.layers.theirs) }
    let list = try isOpenCLIP ? openCLIP(part) : transformers(part)
    let mapped = try MappedSource(
      weights, location: path, list.map { (name: $0.0, origin: $0.1) })
    let width = mapped.entry("text_model.embeddings.token_embedding.weight")?.shape.rowLength
    // OpenCLIP's encoders keep their activation under other names.
    let isPlain =
      isOpenCLIP || width == SingleFileFacts.openCLIPHWidth || isSecond
      || mapped.entry(OpenCLIPKeys.projection.ours) != nil
    let config = try TextEncoderNames.config(of: mapped, isOpenCLIP: isPlain, path: path)
    let hasProjection = mapped.entry(OpenCLIPKeys.projection.ours) != nil
    // A second text encoder stands alone in SDXL's refiner.
    let name =
      isSecond || part.isXL && isOpenCLIP || hasProjection
      ? ComponentName.textEncoder2 : ComponentName.textEncoder
    return try component(
      name, hasProjection ? "CLIPTextModelWithProjection" : "CLIPTextModel", config, list)
  }

  /// Whether a layer is the one that Stable Diffusion 2 leaves off.
  private func isLeftOff(_ layer: Int, layers: Int, width: Int?) -> Bool {
    layers == SingleFileFacts.openCLIPHLayers && width == SingleFileFacts.openCLIPHWidth
      && layer == layers - 1
  }

  /// Names as transformers has them, with or without what stands before `encoder.layers`.
  private func transformers(
    _ part: SingleFileParts.Part
  ) throws(SingleFileError) -> [(String, MappedSource.Origin)] {
    var list: [(name: String, origin: String)] = []
    for (name, origin) in part.origins {
      let name = name.trimming(prefix: LDMKeys.transformers).trimming(prefix: "text_model.")
      if name == "text_projection" || name == "text_projection.weight" {
        list.append((OpenCLIPKeys.projection.ours, origin))
      } else {
        list.append(("text_model." + name, origin))
      }
    }
    let prefix = OpenCLIPKeys.layers.ours
    let layers = TextEncoderNames.layers(list.map(\.name), prefix: prefix)
    let width = list.first { $0.name == "text_model.embeddings.token_embedding.weight" }
      .flatMap { shape($0.origin)?.rowLength }
    return list.filter { name, _ in
      !(isLeftOff(layers - 1, layers: layers, width: width)
        && name.hasPrefix("\(prefix)\(layers - 1)."))
    }.map { ($0.name, tensor($0.origin)) }
  }

  private func openCLIP(
    _ part: SingleFileParts.Part
  ) throws(SingleFileError) -> [(String, MappedSource.Origin)] {
    let own = part.origins.map { name, origin in
      (name: name.trimming(prefix: LDMKeys.openCLIP), origin: origin)
    }
    let origins = Dictionary(own.map { ($0.name, $0.origin) }) { first, _ in first }
    var layers = TextEncoderNames.layers(origins.keys, prefix: OpenCLIPKeys.layers.theirs)
    let width = shape(origins["token_embedding.weight"])?.rowLength
    let isH =
      isLeftOff(layers - 1, layers: layers, width: width) || width == SingleFileFacts.openCLIPHWidth
    if isLeftOff(layers - 1, layers: layers, width: width) { layers -= 1 }
    let pairs = TextEncoderNames.pairs(layers: layers)
    var list: [(String, MappedSource.Origin)] = []
    for (name, origin) in own {
      if name == OpenCLIPKeys.positions.theirs {
        list.append((OpenCLIPKeys.positions.ours, tensor(origin)))
      } else if name == OpenCLIPKeys.projection.theirs {
        // Stable Diffusion 2 has no use for the projection, and diffusers no place.
        if !isH { list.append((OpenCLIPKeys.projection.ours, .transposed(origin))) }
      } else if let (layer, kind) = Self.stack(name) {
        guard layer < layers else { continue }
        guard let shape = shape(origin), shape.rows % 3 == 0 else {
          throw .misshapen(
            path: path, tensor: origin, found: shape(origin) ?? [],
            expected: "rows of queries, keys and values, a third each")
        }
        let third = shape.rows / 3
        for (index, part) in OpenCLIPKeys.stacked.enumerated() {
          list.append(
            (
              TextEncoderNames.ours(layer, part, kind),
              .rows(origin, index * third..<(index + 1) * third)
            ))
        }
      } else if let ours = pairs.diffusers(name) {
        list.append((ours, tensor(origin)))
      } else if !name.hasPrefix("\(OpenCLIPKeys.layers.theirs)\(layers).") {
        list.append((name, tensor(origin)))
      }
    }
    return list
  }

  /// The layer and the kind of a stack of queries, keys and values.
  private static func stack(_ name: String) -> (layer: Int, kind: String)? {
    let prefix = OpenCLIPKeys.layers.theirs
    guard name.hasPrefix(prefix) else { return nil }
    let parts = name.dropFirst(prefix.count).split(separator: ".", maxSplits: 1)
    guard parts.count == 2, let layer = Int(parts[0]),
      let kind = OpenCLIPKeys.stackKinds.first(where: { parts[1] == OpenCLIPKeys.stack + $0 })
    else { return nil }
    return (layer, kind)
  }
}

extension String {
  /// The text without `prefix` where it begins so.
  fileprivate func trimming(prefix: String) -> String {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self
  }
}

extension UNetTopology {
  /// The topology that diffusers' names of a U-Net's tensors tell of.
  init(diffusersNames names: [String]) {
    func levels(_ side: String, sampler: String) -> [Level] {
      (0..<TextEncoderNames.layers(names, prefix: "\(side).")).map { index in
        let block = "\(side).\(index)."
        let resnets = TextEncoderNames.layers(names, prefix: "\(block)resnets.")
        let attentions = TextEncoderNames.layers(names, prefix: "\(block)attentions.")
        return Level(
          attentions: (0..<resnets).map { $0 < attentions },
          hasSampler: names.contains { $0.hasPrefix("\(block)\(sampler).") })
      }
    }
    let resnets = TextEncoderNames.layers(names, prefix: "mid_block.resnets.")
    let hasAttention = names.contains { $0.hasPrefix("mid_block.attentions.") }
    self.init(
      down: levels("down_blocks", sampler: "downsamplers"),
      mid: resnets == 0 ? nil : Mid(resnets: resnets, hasAttention: hasAttention),
      up: levels("up_blocks", sampler: "upsamplers"))
  }
}
