/// Removes dropped blocks from a topology, with the blocks that diffusers requires to go with them.
struct BlockRemoval {
  /// Why a block of the teacher is removed.
  enum Cause: Hashable, Sendable {
    case requested
    /// The attention of a removed resnet.
    case pairedWith(String)
    /// A layer of the mirrored level: an up level has one layer more than its down level.
    case mirrors(String)
    /// The downsampler before a removed innermost level.
    case level(String)

    var description: String {
      switch self {
      case .requested: "requested"
      case .pairedWith(let resnet): "paired with \(resnet)"
      case .mirrors(let block): "mirrors \(block)"
      case .level(let level): "part of the removed level \(level)"
      }
    }
  }

  private(set) var topology: Topology
  /// The removed blocks of the teacher, by name.
  private(set) var causes: [String: Cause] = [:]

  /// - Throws: a drop that no diffusers config can describe.
  init(_ topology: Topology, dropping drops: [Drop]) throws(StripError.Reason) {
    self.topology = topology
    for case .level(let side, let level) in drops { try dropLevel(side, level) }
    let layers = drops.filter { if case .layer = $0 { true } else { false } }
    for case .layer(let side, let level, let layer) in layers {
      dropLayer(side, level, layer, .requested)
    }
    try mirror(requested: layers)
    try dropMid(drops)
    for drop in drops {
      switch drop {
      case .attention(let place): dropAttention(at: place)
      case .transformerBlock(let place, let block): dropTransformerBlock(block, at: place)
      case .level, .layer, .mid, .midResnet: break
      }
    }
    simplify()
    if let mismatch = self.topology.mismatch() { throw mismatch }
  }

  // MARK: - Levels and layers

  private mutating func dropLevel(_ side: Drop.Side, _ level: Int) throws(StripError.Reason) {
    let dropped = Drop.level(side, level)
    // An earlier drop named this level or its mirror.
    if causes[dropped.name] != nil {
      causes[dropped.name] = .requested
      return
    }
    guard let down = topology.down.last, let up = topology.up.first else { return }
    let innermost = side == .down ? down.index : up.index
    guard level == innermost else {
      throw .notInnermost(level: dropped.name, innermost: Drop.level(side, innermost).name)
    }
    guard topology.down.count > 1 else { throw .lastLevel(dropped.name) }
    topology.down.removeLast()
    topology.up.removeFirst()
    causes[Drop.level(side == .down ? .up : .down, side == .down ? up.index : down.index).name] =
      .mirrors(dropped.name)
    causes[dropped.name] = .requested
    let inner = topology.down.count - 1
    if topology.down[inner].hasResampler {
      topology.down[inner].hasResampler = false
      causes["down_blocks.\(topology.down[inner].index).downsamplers.0"] = .level(dropped.name)
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

  /// Changes the level of that number, unless it is removed.
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

  /// Removes a layer of the mirrored level for each removed layer, because `layers_per_block`
  /// applies to a down level and to its mirrored up level.
  private mutating func mirror(requested: [Drop]) throws(StripError.Reason) {
    for place in topology.down.indices {
      let mirrored = topology.up.count - 1 - place
      while topology.up[mirrored].layers.count != topology.down[place].layers.count + 1 {
        let side: Drop.Side =
          topology.up[mirrored].layers.count > topology.down[place].layers.count + 1 ? .up : .down
        let level = side == .up ? topology.up[mirrored].index : topology.down[place].index
        let other: Drop.Side = side == .up ? .down : .up
        let otherLevel = side == .up ? topology.down[place].index : topology.up[mirrored].index
        let cause = requested.last { drop in
          if case .layer(other, otherLevel, _) = drop { true } else { false }
        }
        let partner = side == .up ? removableLayer(up: mirrored) : removableLayer(down: place)
        guard let partner else {
          throw .noMirror(
            of: cause?.name ?? Drop.level(other, otherLevel).name,
            in: Drop.level(side, level).name)
        }
        dropLayer(side, level, partner, .mirrors(cause?.name ?? ""))
      }
    }
  }

  /// The layer of an up level that can be removed; `nil` when there is none.
  ///
  /// The remaining layers must read the same channels as before. Middle layers come first, because
  /// the first layer reads the previous level and the last reads the skip connection of the next.
  private func removableLayer(up place: Int) -> Int? {
    let layers = topology.up[place].layers
    return
      (Array(layers.dropFirst().dropLast()) + Array(layers.prefix(1)) + Array(layers.suffix(1)))
      .first { candidate in
        var without = topology
        without.up[place].layers.removeAll { $0.resnet == candidate.resnet }
        return layers.count > 1 && without.mismatch(up: place) == nil
      }?.resnet
  }

  /// The layer of a down level that can be removed; `nil` when there is none. The last comes first,
  /// because the first layer reads the previous level.
  private func removableLayer(down place: Int) -> Int? {
    topology.down[place].layers.last { candidate in
      var without = topology
      without.down[place].layers.removeAll { $0.resnet == candidate.resnet }
      return without.mismatch(down: place) == nil
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
      causes["mid_block"] = .requested
      return
    }
    guard let resnet = resnets.first else { return }
    // Diffusers has two mid blocks: two resnets around an attention, and a single resnet.
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
    causes["mid_block.resnets.\(resnet)"] = .requested
    causes["mid_block.attentions.0"] = .requested
  }

  // MARK: - Attentions

  /// Changes the attention at `place`, unless it is removed.
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
    // The attention contains its transformer blocks, so their own causes are dropped.
    causes = causes.filter { !$0.key.hasPrefix(name + ".") }
    causes[name] = .requested
  }

  private mutating func dropTransformerBlock(_ block: Int, at place: Drop.Place) {
    var isFound = false
    edit(place) { attention in
      isFound = attention.blocks.contains(block)
      attention.blocks.removeAll { $0 == block }
    }
    if isFound { causes[Drop.transformerBlock(place, block).name] = .requested }
  }

  /// Turns levels in which every attention is an identity into levels without attention.
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
