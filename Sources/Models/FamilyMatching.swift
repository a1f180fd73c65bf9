package import ModelSources
internal import Tensors

/// What tells U-Nets apart at first sight.
package struct UNetSignature: Hashable, Sendable {
  /// Channels in.
  package let inputs: Int
  /// Channels of the first level.
  package let width: Int
  /// Width of the text that attentions look at; `nil` where it is not known.
  package let text: Int?
  /// Width of what is added to the time; `nil` where nothing is.
  package let added: Int?

  package init(inputs: Int, width: Int, text: Int?, added: Int?) {
    (self.inputs, self.width, self.text, self.added) = (inputs, width, text, added)
  }

  package init(_ config: UNetConfig) {
    self.init(
      inputs: config.inChannels, width: config.blockOutChannels[0], text: config.textWidth,
      added: config.additionEmbedding?.inputWidth)
  }

  /// In words, as far as they are not those of another.
  fileprivate func differences(from other: UNetSignature) -> [String] {
    var words: [String] = []
    if inputs != other.inputs { words.append("\(inputs) channels in, not \(other.inputs)") }
    if width != other.width { words.append("\(width) channels at first, not \(other.width)") }
    if text != other.text {
      words.append(
        "attention to \(text.map { "text of width \($0)" } ?? "no text"), not "
          + "\(other.text.map(String.init) ?? "none")")
    }
    if added != other.added {
      func name(_ width: Int?) -> String { width.map(String.init) ?? "nothing" }
      words.append("\(name(added)) added to the time, not \(name(other.added))")
    }
    return words
  }
}

extension Family {
  /// The published family whose U-Net is most like one of those marks, with what is otherwise; the
  /// first of several.
  package static func nearest(
    to marks: UNetSignature
  ) -> (family: Family, differences: [String])? {
    var best: (family: Family, differences: [String], score: Int)?
    for family in all {
      guard let configs = try? family.template?.configs(location: family.name) else { continue }
      let other = UNetSignature(configs.unet)
      // The text is what a U-Net cannot do without: it counts most.
      let score =
        (marks.text == other.text ? 4 : 0) + ((marks.added == nil) == (other.added == nil) ? 2 : 0)
        + (marks.width == other.width ? 1 : 0) + (marks.inputs == other.inputs ? 1 : 0)
        + (marks.added == other.added ? 1 : 0)
      if score > best?.score ?? -1 { best = (family, marks.differences(from: other), score) }
    }
    return best.map { ($0.family, $0.differences) }
  }

  /// The lines whose published U-Nets look at text of that width.
  package static func lines(lookingAt width: Int) -> [String] {
    var lines: [String] = []
    for family in all {
      guard let configs = try? family.template?.configs(location: family.name),
        configs.unet.textWidth == width, !lines.contains(family.architecture.name)
      else { continue }
      lines.append(family.architecture.name)
    }
    return lines
  }
}

extension ModelSource.Component {
  /// What a component is by itself, in a sentence; `nil` for one that Decant does not run, or whose
  /// config cannot be read.
  ///
  /// - Parameter model: the model's location.
  package func facts(in model: String) -> String? {
    let place = "\(model)/\(name)/config.json"
    switch name {
    case ComponentName.unet:
      guard let config = try? UNetConfig(json: config, location: place) else { return nil }
      let widths = config.blockOutChannels.map(String.init).joined(separator: ", ")
      let near = Family.nearest(to: UNetSignature(config)).map { family, differences in
        "; nearest family: \(family.name)"
          + (differences.isEmpty ? "" : ", but \(differences.joined(separator: ", "))")
      }
      return "unet: \(config.inChannels) channels in and \(config.outChannels) out, levels of "
        + "\(widths), text of width \(config.textWidth)" + (near ?? "")
    case ComponentName.vae:
      guard let config = try? VAEConfig(json: config, location: place) else { return nil }
      return
        "vae: latents of \(config.latentChannels) channels, \(config.downsamplingFactor) times "
        + "smaller than the picture; a whole model takes it with --vae"
    case ComponentName.textEncoder, ComponentName.textEncoder2:
      guard
        let config = try? TextEncoderConfig(json: config, location: place, className: className)
      else { return nil }
      return "\(name): \(config.hiddenLayers) layers of width \(config.hiddenSize), "
        + "\(config.vocabSize) tokens"
        + (config.projectionDim.map { ", projected to \($0)" } ?? "")
        + "; a whole model takes it with --\(name.map { $0 == "_" ? "-" : String($0) }.joined())"
    default: return nil
    }
  }
}
