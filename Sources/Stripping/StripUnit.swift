package import Models

/// A part of a U-Net that can be removed alone.
package struct StripUnit: Sendable, Hashable {
  /// The requested blocks, by their names in diffusers: `down_blocks.1.resnets.1`. Blocks that can only
  /// be removed together are joined by a comma and a space.
  package let name: String
  /// The blocks to drop, with those of mirrored levels. Units can be dropped together: each then loses
  /// what it loses alone.
  package let drops: [String]
  /// The removed blocks of the teacher, in its order, with attentions that become identities.
  package let blocks: [String]
  /// The removed parameters.
  package let parameters: Int

  /// Every unit of a U-Net, in its order.
  ///
  /// - A resnet, which a level with attentions loses with its attention.
  /// - An attention, and all attentions of a level together.
  /// - A transformer block of an attention that has several.
  /// - All layers of a level that it can lose, and the innermost level with its mirror.
  /// - The mid block, its attention, and its attention with one resnet.
  ///
  /// Blocks whose removal no diffusers config describes are left out. Of drops that remove the same
  /// blocks, only the first is a unit.
  package static func all(of teacher: UNetConfig) -> [StripUnit] {
    var units: [StripUnit] = []
    var seen: Set<[StripPlan.Origin]> = []
    func add(_ drops: [String]) -> Bool {
      guard let plan = try? StripPlan(dropping: drops, for: teacher),
        plan.ledger.removedParameters > 0
      else { return false }
      let whole = drops + plan.ledger.mirrored.filter { !drops.contains($0) }
      // Named blocks have no mirrors, so that the set stays the same among others.
      guard let named = try? StripPlan(dropping: whole, for: teacher), named.origins == plan.origins
      else { return false }
      if seen.insert(plan.origins).inserted {
        units.append(
          StripUnit(
            name: drops.joined(separator: ", "), drops: whole,
            blocks: plan.ledger.removed.map(\.block), parameters: plan.ledger.removedParameters))
      }
      return true
    }
    let topology = Topology(teacher)
    for drop in Drop.all(of: topology) where !drop.isOnlyTransformerBlock(of: topology) {
      let isUnit = add([drop.name])
      if !isUnit, let partner = drop.partner(in: topology) { _ = add([drop.name, partner.name]) }
    }
    for (side, levels) in [(Drop.Side.down, topology.down), (.up, topology.up)] {
      for level in levels {
        let attentions = level.layers.filter { $0.attention != nil }
        if attentions.count > 1 { _ = add([Drop.level(side, level.index).name + ".attentions"]) }
        let layers = level.layers.map { Drop.layer(side, level.index, $0.resnet).name }
          .filter { (try? StripPlan(dropping: [$0], for: teacher)) != nil }
        if layers.count > 1 { _ = add(layers) }
      }
    }
    if let mid = topology.mid, mid.attention != nil {
      for resnet in mid.resnets {
        _ = add([Drop.attention(.mid).name, Drop.midResnet(resnet).name])
      }
    }
    return units
  }
}

extension Drop {
  /// Whether the drop is the transformer block of an attention that has no other. The projections around
  /// it would stay without a purpose.
  fileprivate func isOnlyTransformerBlock(of topology: Topology) -> Bool {
    guard case .transformerBlock(let place, _) = self else { return false }
    return topology.attention(at: place)?.blocks.count == 1
  }

  /// The part of the mid block that goes with this part of the innermost level's first attention: a
  /// config has one depth for both.
  fileprivate func partner(in topology: Topology) -> Drop? {
    guard let level = topology.down.last, let layer = level.layers.first?.resnet else { return nil }
    let place = Place.level(.down, level.index, layer: layer)
    return switch self {
    case .attention(place): .attention(.mid)
    case .transformerBlock(place, let block): .transformerBlock(.mid, block)
    default: nil
    }
  }
}

extension Topology {
  fileprivate func attention(at place: Drop.Place) -> Attention? {
    switch place {
    case .mid: mid?.attention
    case .level(let side, let index, let layer):
      (side == .down ? down : up).first { $0.index == index }?.layers
        .first { $0.resnet == layer }?.attention
    }
  }
}
