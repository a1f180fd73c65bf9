/// Takes dropped blocks out of a topology, with everything that diffusers makes go with them.
struct Surgery {
  /// Why a block of the teacher is gone.
  enum Cause: Hashable, Sendable {
    case asked
    /// It goes with the resnet of its pair.
    case pairedWith(String)
    /// A level and its mirror have the same layers, but for one.
    case mirrors(String)
    /// It goes with the innermost level.
    case level(String)

    var description: String {
      switch self {
      case .asked: "asked for"
      case .pairedWith(let resnet): "goes with \(resnet)"
      case .mirrors(let block): "mirrors \(block)"
      case .level(let level): "goes with the level \(level)"
      }
    }
  }

  private(set) var topology: Topology
  /// Blocks of the teacher that are gone, by name.
  private(set) var causes: [String: Cause] = [:]

  /// - Throws: what cannot be expressed in a config of stock diffusers.
  init(_ topology: Topology, dropping drops: [Drop]) throws(StripError.Reason) {
    self.topology = topology
    for case .level(let side, let level) in drops { try dropLevel(side, level) }
    let layers = drops.filter { if case .layer = $0 { true } else { false } }
    for case .layer(let side, let level, let layer) in layers {
      dropLayer(side, level, layer, .asked)
    }
    try mirror(asked: layers)
    try dropMid(drops)
    for drop in drops {
      switch drop {
      case .attention(let place): dropAttention(at: place)
      case .transformerBlock(let place, let block): dropTransformerBlock(block, at: place)
      case .level, .layer, .mid, .midResnet: break
      }
    }
    simplify()
    if let misfit = self.topology.misfit() { throw misfit }
  }

  // MARK: - Levels and layers

  private mutating func dropLevel(_ side: Drop.Side, _ level: Int) throws(StripError.Reason) {
    let asked = Drop.level(side, level)
    // Asked for before, by its own name or by its mirror's.
    if causes[asked.name] != nil {
      causes[asked.name] = .asked
      return
    }
    guard let down = topology.down.last, let up = topology.up.first else { return }
    let innermost = side == .down ? down.index : up.index
    guard level == innermost else {
      throw .notInnermost(level: asked.name, innermost: Drop.level(side, innermost).name)
    }
    guard topology.down.count > 1 else { throw .lastLevel(asked.name) }
    topology.down.removeLast()
    topology.up.removeFirst()
    causes[Drop.level(side == .down ? .up : .down, side == .down ? up.index : down.index).name] =
      .mirrors(asked.name)
    causes[asked.name] = .asked
    let inner = topology.down.count - 1
    if topology.down[inner].hasSampler {
      topology.down[inner].hasSampler = false
      causes["down_blocks.\(topology.down[inner].index).downsamplers.0"] = .level(asked.name)
    }
  }

  private mutating func dropLayer(
    _ side: Drop.Side, _ level: Int, _ layer: Int, _ cause: Cause
  ) {
    let resnet = Drop.layer(side, level, layer).name
    edit(side, level) { found, causes in
      guard let index = found.layers.firstIndex(where: { $0.resnet == layer }) else { return }
      let removed = found.layers.remove(at: index)
      causes[resnet] = cause
      if removed.attention != nil {
        causes[Drop.attention(.level(side, level, layer: layer)).name] = .pairedWith(resnet)
      }
    }
  }

  /// Changes the level of that number, if it still stands.
  private mutating func edit(
    _ side: Drop.Side, _ level: Int,
    _ body: (inout Topology.Level, inout [String: Cause]) -> Void
  ) {
    switch side {
    case .down:
      guard let place = topology.down.firstIndex(where: { $0.index == level }) else { return }
      body(&topology.down[place], &causes)
    case .up:
      guard let place = topology.up.firstIndex(where: { $0.index == level }) else { return }
      body(&topology.up[place], &causes)
    }
  }

  /// `layers_per_block` speaks for a down level and its mirror at once, so each layer that one of
  /// them loses is matched by one of the other.
  private mutating func mirror(asked: [Drop]) throws(StripError.Reason) {
    for place in topology.down.indices {
      let mirrored = topology.up.count - 1 - place
      while topology.up[mirrored].layers.count != topology.down[place].layers.count + 1 {
        let side: Drop.Side =
          topology.up[mirrored].layers.count > topology.down[place].layers.count + 1 ? .up : .down
        let level = side == .up ? topology.up[mirrored].index : topology.down[place].index
        let other: Drop.Side = side == .up ? .down : .up
        let otherLevel = side == .up ? topology.down[place].index : topology.up[mirrored].index
        let cause = asked.last { drop in
          if case .layer(other, otherLevel, _) = drop { true } else { false }
        }
        let partner = side == .up ? upPartner(mirrored) : downPartner(place)
        guard let partner else {
          throw .noMirror(
            of: cause?.name ?? Drop.level(other, otherLevel).name,
            in: Drop.level(side, level).name)
        }
        dropLayer(side, level, partner, .mirrors(cause?.name ?? ""))
      }
    }
  }

  /// The layer of an up level that can go: a middle one, for the first reads the level below it
  /// and the last the skip of the level above; else any that leaves the others what they read.
  private func upPartner(_ place: Int) -> Int? {
    let layers = topology.up[place].layers
    return
      (Array(layers.dropFirst().dropLast()) + Array(layers.prefix(1)) + Array(layers.suffix(1)))
      .first { candidate in
        var without = topology
        without.up[place].layers.removeAll { $0.resnet == candidate.resnet }
        return layers.count > 1 && without.misfit(up: place) == nil
      }?.resnet
  }

  /// The layer of a down level that can go: the last, for the first reads the level above.
  private func downPartner(_ place: Int) -> Int? {
    topology.down[place].layers.last { candidate in
      var without = topology
      without.down[place].layers.removeAll { $0.resnet == candidate.resnet }
      return without.misfit(down: place) == nil
    }?.resnet
  }

  // MARK: - The mid block

  private mutating func dropMid(_ drops: [Drop]) throws(StripError.Reason) {
    guard var mid = topology.mid else { return }
    let resnets = mid.resnets.filter { drops.contains(.midResnet($0)) }
    let dropsAttention = mid.attention != nil && drops.contains(.attention(.mid))
    let isWhole =
      drops.contains(.mid)
      || resnets == mid.resnets && (dropsAttention || mid.attention == nil)
    if isWhole {
      topology.mid = nil
      causes["mid_block"] = .asked
      return
    }
    guard let resnet = resnets.first else { return }
    // Diffusers has a mid block of two resnets around an attention, and one of a lone resnet.
    guard resnets.count == 1 else {
      throw .midBlock(
        dropped: "mid_block.resnets.\(resnet)", alsoDrop: "mid_block.attentions.0")
    }
    guard dropsAttention else {
      throw .midBlock(
        dropped: "mid_block.resnets.\(resnet)", alsoDrop: "mid_block.attentions.0")
    }
    mid.resnets.removeAll { $0 == resnet }
    mid.attention = nil
    topology.mid = mid
    causes["mid_block.resnets.\(resnet)"] = .asked
    causes["mid_block.attentions.0"] = .asked
  }

  // MARK: - Attentions

  /// Changes the attention at `place`, if it still stands.
  private mutating func edit(_ place: Drop.Place, _ body: (inout Topology.Attention) -> Void) {
    switch place {
    case .mid:
      guard var attention = topology.mid?.attention else { return }
      body(&attention)
      topology.mid?.attention = attention
    case .level(let side, let level, let layer):
      edit(side, level) { found, _ in
        guard let index = found.layers.firstIndex(where: { $0.resnet == layer }),
          var attention = found.layers[index].attention
        else { return }
        body(&attention)
        found.layers[index].attention = attention
      }
    }
  }

  private mutating func dropAttention(at place: Drop.Place) {
    var isFound = false
    edit(place) { attention in
      attention.blocks = []
      attention.isIdentity = true
      isFound = true
    }
    guard isFound else { return }
    let name = Drop.attention(place).name
    // Its transformer blocks went with it, whatever was said of them before.
    causes = causes.filter { !$0.key.hasPrefix(name + ".") }
    causes[name] = .asked
  }

  private mutating func dropTransformerBlock(_ block: Int, at place: Drop.Place) {
    var isFound = false
    edit(place) { attention in
      isFound = attention.blocks.contains(block)
      attention.blocks.removeAll { $0 == block }
    }
    if isFound { causes[Drop.transformerBlock(place, block).name] = .asked }
  }

  /// A level that would keep nothing but identities becomes one without attention.
  private mutating func simplify() {
    func simplified(_ level: Topology.Level) -> Topology.Level {
      guard level.layers.allSatisfy({ $0.attention?.isIdentity ?? true }) else { return level }
      var level = level
      for index in level.layers.indices { level.layers[index].attention = nil }
      return level
    }
    topology.down = topology.down.map(simplified)
    topology.up = topology.up.map(simplified)
  }
}
