import Formats
import ModelSources

/// The tensors of a file, sorted by the part of a pipeline that their names say they are of.
struct SingleFileParts {
  /// Names below a prefix, and what they are called in the file.
  struct Part {
    var origins: [(name: String, origin: String)] = []
    /// Whether the prefix is one that text encoders of SDXL have.
    var isXL = false

    var names: [String] { origins.map(\.name) }
    var isEmpty: Bool { origins.isEmpty }

    func has(prefix: String) -> Bool { origins.contains { $0.name.hasPrefix(prefix) } }
  }

  private(set) var unet = Part()
  private(set) var vae = Part()
  /// The text encoder that is alone, or the first of two.
  private(set) var text = Part()
  private(set) var text2 = Part()
  /// Names of tensors that are of no part, the training's buffers not among them.
  private(set) var leftOut: [String] = []
  /// Names of the moving average of the U-Net.
  private var averages: [String] = []
  var hasMovingAverage: Bool { !averages.isEmpty }

  init(_ weights: any WeightSource) {
    let names = weights.names
    let isWhole = names.contains { name in
      SingleFileKeys.prefixes.contains { name.hasPrefix($0.prefix) }
    }
    let ignored = Set(SingleFileFacts.ignored + SingleFileFacts.markers)
    for name in names {
      if name.hasPrefix(LDMKeys.average) {
        // How far training was is stored there as well.
        if name.hasPrefix(LDMKeys.averageUNet) { averages.append(name) }
      } else if ignored.contains(name) {
        continue
      } else if isWhole,
        let (prefix, place) = SingleFileKeys.prefixes.first(where: { name.hasPrefix($0.prefix) })
      {
        add(String(name.dropFirst(prefix.count)), name, to: place)
      } else if !isWhole,
        let (_, place) = SingleFileKeys.beginnings.first(where: { name.hasPrefix($0.prefix) })
      {
        add(name, name, to: place)
      } else {
        leftOut.append(name)
      }
    }
  }

  var isEmpty: Bool { unet.isEmpty && vae.isEmpty && text.isEmpty && text2.isEmpty }

  /// Takes the moving average for the U-Net, in a file that has no other.
  mutating func takeMovingAverage() {
    for origin in averages {
      if let name = AveragedNames.dotted(origin) {
        add(name, origin, to: .unet)
      } else {
        leftOut.append(origin)
      }
    }
  }

  private mutating func add(_ name: String, _ origin: String, to place: SingleFileKeys.Place) {
    if SingleFileKeys.ignoredEndings.contains(where: name.hasSuffix) { return }
    switch place {
    case .unet: unet.origins.append((name, origin))
    case .vae: vae.origins.append((name, origin))
    case .text: text.origins.append((name, origin))
    case .textXL:
      text.origins.append((name, origin))
      text.isXL = true
    case .text2: text2.origins.append((name, origin))
    }
  }
}
