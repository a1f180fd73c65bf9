private import Formats
package import ModelSources
internal import Support
internal import Tensors

extension UNetSignature {
  package init(_ config: UNetConfig) {
    self.init(
      inputs: config.inChannels, width: config.blockOutChannels[0], textWidth: config.textWidth,
      addedWidth: config.additionEmbedding?.inputWidth)
  }

  /// Each difference in words: what this U-Net has and what the other has.
  fileprivate func differences(from other: UNetSignature) -> [String] {
    var words: [String] = []
    if inputs != other.inputs { words.append("\(inputs) input channels, not \(other.inputs)") }
    if width != other.width {
      words.append("\(width) channels at the first level, not \(other.width)")
    }
    func compare(_ name: String, _ width: Int?, _ other: Int?) {
      switch (width, other) {
      case (let width?, let other?) where width != other:
        words.append("\(name) of width \(width), not \(other)")
      case (let width?, nil): words.append("\(name) of width \(width), which the family lacks")
      case (nil, _?): words.append("no \(name)")
      default: break
      }
    }
    compare("text states", textWidth, other.textWidth)
    compare("added embedding", addedWidth, other.addedWidth)
    return words
  }
}

extension ModelConfigs {
  /// How the components of a model without a family fail to fit together, in an architecture.
  func misfits(in architecture: Architecture) -> [String] {
    guard textEncoderNames == architecture.textEncoders else {
      let added = unet.additionEmbedding.map {
        " and an added embedding of \($0.inputWidth) numbers"
      }
      return [
        "the unet takes text of width \(unet.textWidth)\(added ?? "") and works with "
          + "\(listed(architecture.textEncoders)); found \(listed(namedTextEncoders))"
          + (textEncoders.count < architecture.textEncoders.count ? " alone" : "")
      ]
    }
    if let swapped = swappedTextEncoders(in: architecture) { return [swapped] }
    var misfits: [String] = []
    let width = textEncoders.reduce(0) { $0 + $1.hiddenSize }
    if width != unet.textWidth {
      misfits.append(
        "the unet takes text of width \(unet.textWidth), "
          + (textEncoders.count == 1
            ? "the text encoder gives \(width)"
            : "the text encoders give \(width): \(listed(namedTextEncoders))"))
    }
    if let numbers = architecture.timeIDs?.count {
      if !addsPooledText(and: numbers) {
        let added = unet.additionEmbedding
        let pooled = textEncoders.last?.projectionDim
        misfits.append(
          "the unet's added embedding takes \(added?.inputWidth ?? 0) numbers, expected "
            + "\((pooled ?? 0) + numbers * (added?.timeWidth ?? 0))"
            + (pooled == nil
              ? ", as \(textEncoderNames.last ?? "the text encoder") has no projection" : ""))
      }
    } else if let projection = textEncoders.last?.projectionDim {
      misfits.append("the text encoder has a projection to width \(projection), expected none")
    }
    if !hasKnownLatents {
      let latent = vae.latentChannels
      misfits.append(
        "the unet takes \(unet.inChannels) channels and gives \(unet.outChannels), expected "
          + "\(latent) or \(2 * latent + 1) and \(latent), as the vae has \(latent) latent channels"
      )
    }
    return misfits
  }

  /// Each text encoder with its width: `text_encoder of width 768 (CLIP-L)`.
  private var namedTextEncoders: [String] {
    zip(textEncoderNames, textEncoders).map { name, encoder in
      let title = Self.titles[encoder.hiddenSize].map { " (\($0))" }
      return "\(name) of width \(encoder.hiddenSize)" + (title ?? "")
    }
  }

  /// The published text encoders by the width of their states.
  private static let titles = [
    SingleFileKeys.firstTextWidth: "CLIP-L", SingleFileFacts.openCLIPHWidth: "OpenCLIP-H",
    SingleFileKeys.secondTextWidth: "CLIP-G",
  ]

  /// A sentence about two text encoders in each other's place; `nil` where they are not. The width of
  /// the pooled text in the added embedding shows which one the U-Net expects as the second.
  private func swappedTextEncoders(in architecture: Architecture) -> String? {
    guard let numbers = architecture.timeIDs?.count, let added = unet.additionEmbedding,
      textEncoders.count == 2
    else { return nil }
    let (first, second) = (textEncoders[0].hiddenSize, textEncoders[1].hiddenSize)
    let pooled = added.inputWidth - numbers * added.timeWidth
    guard first != second, first + second == unet.textWidth,
      textEncoders[1].projectionDim == nil
        || first == SingleFileKeys.secondTextWidth && second == SingleFileKeys.firstTextWidth,
      first == pooled, second != pooled
    else { return nil }
    return "the text encoders are swapped: found \(listed(namedTextEncoders)); expected "
      + "\(textEncoderNames[0]) of width \(second) and \(textEncoderNames[1]) of width \(first)"
  }

  /// The architecture of the U-Net of a model without a family, whatever its text encoders are.
  ///
  /// - Parameter components: the model's components.
  fileprivate func unetArchitecture(_ components: [ModelSource.Component]) -> Architecture {
    guard unet.additionEmbedding != nil else {
      return Architectures.of(components.filter { $0.name != ComponentName.textEncoder2 })
    }
    let fitting = Architectures.all.first { architecture in
      architecture.timeIDs.map { addsPooledText(and: $0.count) } ?? false
    }
    return fitting ?? Architectures.of(components)
  }

  /// What can be done about text encoders that are not those of the U-Net's architecture; `nil` where
  /// they are.
  fileprivate func remedyOfTextEncoders(in architecture: Architecture) -> Remedy? {
    let missing = architecture.textEncoders.filter { !textEncoderNames.contains($0) }
    let unused = textEncoderNames.filter { !architecture.textEncoders.contains($0) }
    if !unused.isEmpty {
      return .act(
        "leave \(listed(unused)) out, or use the unet of a model that has "
          + (textEncoders.count == 1 ? "it" : "such text encoders"))
    }
    if missing.isEmpty { return nil }
    let width = textEncoders.reduce(0) { $0 + $1.hiddenSize }
    let others = Family.architectures(takingTextOfWidth: width)
    let adding = Remedy.addComponents(missing.compactMap(ComponentName.setting))
    return others.isEmpty
      ? adding
      : .either([adding, .act("use a unet of \(alternatives(others)), which takes such text")])
  }
}

extension Family {
  /// How a model without a family fails to be one of its U-Net's architecture.
  struct Misfit {
    /// The first published family of the architecture.
    let nearest: String
    let differences: [String]
    let remedy: Remedy?
  }

  /// - Parameter components: those of the configs.
  static func misfit(of configs: ModelConfigs, _ components: [ModelSource.Component]) -> Misfit {
    let architecture = configs.unetArchitecture(components)
    let family = all.first { $0.template != nil && $0.architecture.name == architecture.name }
    let misfits = configs.misfits(in: architecture)
    let other = try? family?.template?.configs(location: family?.name ?? "")
    return Misfit(
      nearest: family?.name ?? architecture.name,
      differences: misfits.isEmpty
        ? other.map { configs.differences(from: $0) } ?? [] : misfits,
      remedy: configs.remedyOfTextEncoders(in: architecture))
  }

  /// The published family with the most similar U-Net, and how the U-Nets differ. The first in
  /// ``all`` wins a tie.
  package static func nearest(
    to unet: UNetSignature
  ) -> (family: Family, differences: [String])? {
    var best: (family: Family, differences: [String], score: Int)?
    for family in all {
      guard let configs = try? family.template?.configs(location: family.name) else { continue }
      let other = UNetSignature(configs.unet)
      // A U-Net works only with text states of its width, so the text width counts most.
      let score =
        (unet.textWidth == other.textWidth ? 4 : 0)
        + ((unet.addedWidth == nil) == (other.addedWidth == nil) ? 2 : 0)
        + (unet.width == other.width ? 1 : 0) + (unet.inputs == other.inputs ? 1 : 0)
        + (unet.addedWidth == other.addedWidth ? 1 : 0)
      if score > best?.score ?? -1 { best = (family, unet.differences(from: other), score) }
    }
    return best.map { ($0.family, $0.differences) }
  }

  /// Names of the architectures whose published U-Nets take text states of that width.
  package static func architectures(takingTextOfWidth width: Int) -> [String] {
    var names: [String] = []
    for family in all {
      guard let configs = try? family.template?.configs(location: family.name),
        configs.unet.textWidth == width, !names.contains(family.architecture.name)
      else { continue }
      names.append(family.architecture.name)
    }
    return names
  }
}

extension ModelSource.Component {
  /// A sentence that describes the component alone; `nil` for one that Decant does not run, or
  /// whose config is invalid.
  ///
  /// - Parameter model: the model's location.
  package func facts(in model: String) -> String? {
    let place = configPlace(of: name, in: model)
    switch name {
    case ComponentName.unet:
      guard let config = try? UNetConfig(json: config, location: place) else { return nil }
      let widths = config.blockOutChannels.map(String.init).joined(separator: ", ")
      let nearest = Family.nearest(to: UNetSignature(config)).map { family, differences in
        "; nearest family: \(family.name)"
          + (differences.isEmpty ? "" : ", but \(differences.joined(separator: ", "))")
      }
      let foreign = ForeignKind(self).map { "; it is the U-Net of \($0.description)" }
      return
        "unet: \(config.inChannels) input and \(config.outChannels) output channels, levels of "
        + "\(widths) channels, text width \(config.textWidth)" + (foreign ?? nearest ?? "")
    case ComponentName.vae:
      guard let config = try? VAEConfig(json: config, location: place) else { return nil }
      let use =
        ForeignKind(self).map { "it is \($0.description)" } ?? "it can replace the vae of a model"
      return
        "vae: \(config.latentChannels) latent channels, latents of 1/\(config.downsamplingFactor) of "
        + "the image's width and height; \(use)"
    case ComponentName.textEncoder, ComponentName.textEncoder2:
      guard
        let config = try? TextEncoderConfig(json: config, location: place, className: className)
      else { return nil }
      return "\(name): \(config.hiddenLayers) layers of width \(config.hiddenSize), "
        + "vocabulary of \(config.vocabSize) tokens"
        + (config.projectionDim.map { ", projection to width \($0)" } ?? "")
        + "; it can replace the \(name) of a model"
    default: return nil
    }
  }
}
