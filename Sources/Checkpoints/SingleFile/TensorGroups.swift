import Formats
import ModelSources

/// The tensors of a single file, grouped by the component to which their names belong.
struct TensorGroups {
  /// The tensors of one component: their names below the prefix, and their names in the file.
  struct Group {
    var origins: [(name: String, origin: String)] = []
    /// Whether the prefix is that of SDXL's text encoders.
    var isXL = false

    var names: [String] { origins.map(\.name) }
    var isEmpty: Bool { origins.isEmpty }

    func has(prefix: String) -> Bool { origins.contains { $0.name.hasPrefix(prefix) } }
  }

  private(set) var unet = Group()
  private(set) var vae = Group()
  /// The only text encoder, or the first of two.
  private(set) var text = Group()
  private(set) var text2 = Group()
  /// Names of tensors that belong to no component, without the buffers of training code.
  private(set) var leftOut: [String] = []
  /// Names of the tensors of the U-Net's moving average.
  private var averages: [String] = []
  var hasMovingAverage: Bool { !averages.isEmpty }

  init(_ weights: any WeightSource) {
    let names = weights.names
    let isWhole = names.contains { name in
      SingleFileKeys.prefixes.contains { name.hasPrefix($0.prefix) }
    }
    let markers = SingleFileFacts.markers
    let ignored = Set(SingleFileFacts.ignored + markers + markers.map { LDMKeys.unet + $0 })
    for name in names {
      if name.hasPrefix(LDMKeys.average) {
        // The number of updates has the same prefix.
        if name.hasPrefix(LDMKeys.averageUNet) { averages.append(name) }
      } else if ignored.contains(name) {
        continue
      } else if isWhole,
        let (prefix, group) = SingleFileKeys.prefixes.first(where: { name.hasPrefix($0.prefix) })
      {
        add(String(name.dropFirst(prefix.count)), name, to: group)
      } else if !isWhole,
        let (_, group) = SingleFileKeys.beginnings.first(where: { name.hasPrefix($0.prefix) })
      {
        add(name, name, to: group)
      } else {
        leftOut.append(name)
      }
    }
  }

  var isEmpty: Bool { unet.isEmpty && vae.isEmpty && text.isEmpty && text2.isEmpty }

  /// Uses the moving average as the U-Net, in a file without a plain U-Net.
  mutating func takeMovingAverage() {
    for origin in averages {
      if let name = AveragedNames.dotted(origin) {
        add(name, origin, to: .unet)
      } else {
        leftOut.append(origin)
      }
    }
  }

  private mutating func add(_ name: String, _ origin: String, to group: SingleFileKeys.Group) {
    if SingleFileKeys.ignoredEndings.contains(where: name.hasSuffix) { return }
    switch group {
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
