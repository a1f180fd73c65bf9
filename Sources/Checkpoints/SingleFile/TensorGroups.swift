import Formats
import ModelSources
import Tensors

/// The tensors of a single file, grouped by the component to which their names belong.
///
/// Components are found by known prefixes, in files of one component by the beginnings of names, and
/// below an unknown prefix by ``NameWrappers``.
struct TensorGroups {
  /// The tensors of one component: their names below the prefix, and their names in the file.
  struct Group {
    var origins: [(name: String, origin: String)] = []
    /// Whether the prefix is that of SDXL's text encoders.
    var isXL = false
    /// Whether the names have a prefix that stands for this component.
    var hasKnownPrefix = false

    var names: [String] { origins.map(\.name) }
    var isEmpty: Bool { origins.isEmpty }

    /// What precedes the names in the file; `nil` where training code put parts into them.
    var prefix: String? {
      origins.first.flatMap { name, origin in
        origin.hasSuffix(name) ? String(origin.dropLast(name.count)) : nil
      }
    }

    func has(prefix: String) -> Bool { origins.contains { $0.name.hasPrefix(prefix) } }
  }

  private(set) var unet = Group()
  private(set) var vae = Group()
  /// The only text encoder, or the first of two.
  private(set) var text = Group()
  private(set) var text2 = Group()
  /// Names of tensors that belong to no component, without the buffers of training code.
  private(set) var leftOut: [String] = []
  /// The tensors in the file that mark the prediction type, by their names without a prefix.
  private(set) var markers: [String: String] = [:]
  /// What was removed from names.
  private(set) var changes: [ModelChange] = []
  /// Names of the tensors of the U-Net's moving average without dots, as LDM's training code stores
  /// them.
  private(set) var averages: [String] = []
  /// Whether tensors below a prefix such as `ema.` are a moving average.
  private var hasPrefixedAverage = false
  /// Whether the U-Net is a moving average below such a prefix.
  private(set) var isAverage = false
  /// Whether the file has a U-Net that is no moving average.
  private var hasPlainUNet = false

  var hasMovingAverage: Bool { !averages.isEmpty || hasPrefixedAverage }
  /// Whether the file has a moving average of a U-Net and no other U-Net.
  var isAverageAlone: Bool { hasMovingAverage && !hasPlainUNet }
  /// Whether the moving average beside plain weights lacks tensors of the U-Net.
  var isAverageIncomplete: Bool {
    !isAverageAlone && !averages.isEmpty && averages.count < unet.origins.count
  }

  /// - Parameter average: whether to take the moving average where a prefix marks one.
  init(_ weights: any WeightSource, average: Bool = false) {
    var entries = weights.names.map { (name: $0, origin: $0) }
    let parts = WrapperKeys.parts.filter { part in
      entries.contains { $0.name.contains(part) }
    }
    if !parts.isEmpty {
      entries = entries.map { (NameWrappers.removingParts($0.name), $0.origin) }
      changes.append(NameWrappers.change(parts: parts, of: nil))
    }
    var isWhole = entries.contains { Self.known($0.name) != nil }
    if !isWhole {
      let outer = NameWrappers.outerPrefixes(of: entries.map(\.name))
      let averages = outer.filter(NameWrappers.isAverage)
      let plain = outer.subtracting(averages)
      isAverage = average && averages.count == 1
      hasPrefixedAverage = !averages.isEmpty
      hasPlainUNet = !plain.isEmpty
      let chosen = isAverage ? averages : plain
      if chosen.count == 1, let prefix = chosen.first {
        isWhole = true
        entries = entries.compactMap { name, origin in
          if name.hasPrefix(prefix) { return (String(name.dropFirst(prefix.count)), origin) }
          // The other set of weights is not listed tensor by tensor.
          return outer.contains { name.hasPrefix($0) } ? nil : (name, origin)
        }
        changes.append(NameWrappers.change(prefix: prefix, of: nil))
      }
    }
    let rest = sort(entries, isWhole: isWhole)
    place(rest, isWhole: isWhole, average: average, weights)
    hasPlainUNet = hasPlainUNet || !isAverage && !unet.isEmpty
    removeWrappers(from: \.unet, .unet, of: ComponentName.unet)
    removeWrappers(from: \.vae, .vae, of: ComponentName.vae)
    removeWrappers(from: \.text, .text, of: ComponentName.textEncoder)
    removeWrappers(from: \.text2, .text, of: ComponentName.textEncoder2)
  }

  private static func known(
    _ name: String
  ) -> (prefix: String, group: SingleFileKeys.Group)? {
    SingleFileKeys.prefixes.first { name.hasPrefix($0.prefix) }
  }

  /// Adds tensors with a known prefix, and returns the others.
  private mutating func sort(
    _ entries: [(name: String, origin: String)], isWhole: Bool
  ) -> [(name: String, origin: String)] {
    let ignored = Set(SingleFileFacts.ignored)
    var rest: [(name: String, origin: String)] = []
    for (name, origin) in entries {
      if name.hasPrefix(LDMKeys.averageUNet), !name.hasPrefix(LDMKeys.averageUNet + ".") {
        averages.append(origin)
      } else if LDMKeys.averageFacts.contains(name) || ignored.contains(name) {
        continue
      } else if SingleFileFacts.markers.contains(name) {
        markers[name] = origin
      } else if isWhole, let (prefix, group) = Self.known(name) {
        add(String(name.dropFirst(prefix.count)), origin, to: group, isKnown: true)
      } else {
        rest.append((name, origin))
      }
    }
    return rest
  }

  /// Adds tensors without a known prefix: those below the unknown prefix of a component, and in a
  /// file of one component those whose names begin as its names do.
  private mutating func place(
    _ entries: [(name: String, origin: String)], isWhole: Bool, average: Bool,
    _ weights: any WeightSource
  ) {
    let origins = Dictionary(entries.map { ($0.name, $0.origin) }) { first, _ in first }
    var prefixes: [(prefix: String, group: SingleFileKeys.Group)] = []
    var others: Set<String> = []
    for group in [SingleFileKeys.Group.unet, .vae, .text] {
      let anchors = NameWrappers.anchors(in: entries.map(\.name)).filter { $0.group == group }
      let found = Set(anchors.map(\.prefix))
      let averages = found.filter(NameWrappers.isAverage)
      hasPrefixedAverage = hasPrefixedAverage || !averages.isEmpty
      let takesAverage = average && averages.count == 1
      let chosen = takesAverage ? averages : found.subtracting(averages)
      others.formUnion(averages.subtracting(chosen))
      if takesAverage {
        others.formUnion(found.subtracting(chosen))
        isAverage = isAverage || group == .unet
        if group == .unet {
          hasPlainUNet = !unet.isEmpty || found.count > 1
          unet = Group()
        }
      }
      // A component with a known prefix, or without one, is not one below another prefix.
      guard self.group(group).isEmpty, !chosen.contains("") else { continue }
      if chosen.count == 1, let prefix = chosen.first { prefixes.append((prefix, group)) }
      if group == .text, chosen.count == 2 {
        // Of two text encoders, the first is narrower.
        let sorted = anchors.filter { chosen.contains($0.prefix) }.map { anchor in
          let width = origins[anchor.name].flatMap { weights.entry($0)?.shape.rowLength } ?? 0
          return (width: width, anchor.prefix)
        }.sorted { $0.width < $1.width }
        guard sorted.count == 2, sorted[0].width < sorted[1].width else { continue }
        prefixes += [(sorted[0].1, .text), (sorted[1].1, .text2)]
      }
    }
    for (name, origin) in entries {
      if others.contains(where: { !$0.isEmpty && name.hasPrefix($0) }) { continue }
      let own = prefixes.filter { name.hasPrefix($0.prefix) }.max {
        $0.prefix.count < $1.prefix.count
      }
      let bare = own.map { String(name.dropFirst($0.prefix.count)) } ?? name
      let beginning = SingleFileKeys.beginnings.first { bare.hasPrefix($0.prefix) }?.group
      if let own {
        // One prefix may stand before several components.
        let shared = prefixes.filter { $0.prefix == own.prefix }.map(\.group)
        add(bare, origin, to: shared.count > 1 ? beginning ?? own.group : own.group)
      } else if !isWhole, let beginning, !others.contains("") {
        add(bare, origin, to: beginning)
      } else {
        leftOut.append(origin)
      }
    }
    for prefix in Set(prefixes.map(\.prefix)).sorted() {
      let groups = prefixes.filter { $0.prefix == prefix }.map(\.group)
      let isText = groups == [.text] || groups == [.text2]
      note(prefix, of: groups.count == 1 ? groups[0] : nil, isText: isText)
    }
  }

  /// Removes what wrappers put between the prefix of a component and its names.
  private mutating func removeWrappers(
    from path: WritableKeyPath<TensorGroups, Group>, _ kind: SingleFileKeys.Group,
    of component: String
  ) {
    let wrappers = NameWrappers(self[keyPath: path].names, around: kind)
    guard !wrappers.prefix.isEmpty else { return }
    self[keyPath: path].origins = self[keyPath: path].origins.map {
      (wrappers.removed(from: $0.name), $0.origin)
    }
    note(wrappers.prefix, component: component, isText: kind == .text)
  }

  private mutating func note(
    _ prefix: String, of group: SingleFileKeys.Group?, isText: Bool
  ) {
    note(prefix, component: group?.component, isText: isText)
  }

  /// Notes a removed prefix. Those that transformers and OpenCLIP have themselves are not noted.
  private mutating func note(_ prefix: String, component: String?, isText: Bool) {
    let own = isText ? [LDMKeys.transformers, LDMKeys.openCLIP] : []
    let end = own.first { prefix == $0 || prefix.hasSuffix("." + $0) } ?? ""
    let noted = String(prefix.dropLast(end.count))
    if !noted.isEmpty { changes.append(NameWrappers.change(prefix: noted, of: component)) }
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

  private func group(_ group: SingleFileKeys.Group) -> Group {
    switch group {
    case .unet: unet
    case .vae: vae
    case .text, .textXL: text.isEmpty ? text2 : text
    case .text2: text2
    }
  }

  private mutating func add(
    _ name: String, _ origin: String, to group: SingleFileKeys.Group, isKnown: Bool = false
  ) {
    if SingleFileKeys.ignoredEndings.contains(where: name.hasSuffix) { return }
    if group == .unet, SingleFileFacts.markers.contains(name) {
      markers[name] = origin
      return
    }
    switch group {
    case .unet: unet.append(name, origin, isKnown)
    case .vae: vae.append(name, origin, isKnown)
    case .text: text.append(name, origin, isKnown)
    case .textXL:
      text.append(name, origin, isKnown)
      text.isXL = true
    case .text2: text2.append(name, origin, isKnown)
    }
  }
}

extension TensorGroups.Group {
  fileprivate mutating func append(_ name: String, _ origin: String, _ isKnown: Bool) {
    origins.append((name, origin))
    hasKnownPrefix = hasKnownPrefix || isKnown
  }
}
