import ModelSources
import Models
import Support

/// Derives the student's config from the teacher's. Changed fields have the form that diffusers
/// reads, and all other fields stay as they are.
struct StudentConfig {
  let json: JSONObject

  /// - Throws: `notDroppable` or `tiedDepth` when no diffusers config describes the topology.
  init(of topology: Topology, teacher: UNetConfig) throws(StripError.Reason) {
    var json = teacher.json
    let levels = topology.down.count

    if levels < teacher.levels {
      let heads = teacher.attentionHeads
      if topology.mid?.attention != nil, heads[levels - 1] != heads[teacher.levels - 1] {
        throw .notDroppable(
          "down_blocks.\(teacher.levels - 1)",
          because: "the mid block would run with the \(heads[levels - 1]) heads of "
            + "down_blocks.\(levels - 1) instead of its own \(heads[teacher.levels - 1])",
          alsoDrop: "mid_block"
        )
      }
      json["block_out_channels"] = .array(topology.down.map { .integer($0.channels) })
      for field in ["attention_head_dim", "cross_attention_dim", "only_cross_attention"] {
        if let list = json[field]?.array { json[field] = .array(Array(list.prefix(levels))) }
      }
    }
    Self.set(
      "down_block_types",
      topology.down.map { level in
        level.hasAttention || level.layers.isEmpty ? teacher.downBlockTypes[level.index] : .plain
      }.map(\.rawValue), was: teacher.downBlockTypes.map(\.rawValue), in: &json)
    Self.set(
      "up_block_types",
      topology.up.map { $0.hasAttention ? teacher.upBlockTypes[$0.index] : .plain }.map(\.rawValue),
      was: teacher.upBlockTypes.map(\.rawValue), in: &json)

    let layers = topology.down.map(\.layers.count)
    if layers != teacher.layersPerBlock {
      json["layers_per_block"] = Self.folded(layers).map { .integer($0) } ?? .integers(layers)
    }

    // Always written, because an absent field means a mid block with attention.
    let type: UNetConfig.MidBlockType? = topology.mid.map {
      $0.attention == nil ? .plain : .crossAttention
    }
    json["mid_block_type"] = type.map { .string($0.rawValue) } ?? .null

    try Self.setDepths(of: topology, teacher: teacher, in: &json)
    self.json = json
  }

  // MARK: - Transformer depths

  /// Writes `transformer_layers_per_block`, and `reverse_transformer_layers_per_block` when the up
  /// blocks need it, unless the config already gives every attention its depth.
  ///
  /// Diffusers reads one list for the down blocks, for the mid block (the last entry) and, in
  /// reverse, for the up blocks. It ignores entries of levels without attention.
  private static func setDepths(
    of topology: Topology, teacher: UNetConfig, in json: inout JSONObject
  ) throws(StripError.Reason) {
    func depths(_ level: Topology.Level) -> [Int] {
      level.layers.compactMap { $0.attention?.blocks.count }
    }
    let levels = topology.down.count
    let down = topology.down.map(depths)
    let up = topology.up.map(depths)
    let mid = topology.mid?.attention?.blocks.count
    if let mid, let inner = down.last?.first, mid != inner, let level = topology.down.last {
      throw .tiedDepth(
        block: "mid_block.attentions.0", keeps: mid,
        tiedTo: "down_blocks.\(level.index).attentions.\(level.layers[0].resnet)",
        whichKeeps: inner)
    }

    let field = "transformer_layers_per_block"
    let reverseField = "reverse_transformer_layers_per_block"
    let written = json[field] ?? 1
    var entries =
      written.array.map { Array($0.prefix(levels)) }
      ?? [JSONValue](repeating: written, count: levels)
    let reverse = json[reverseField]?.array.map { Array($0.suffix(levels)) }
    for (level, needed) in down.enumerated() {
      let isLast = level == levels - 1
      if needed.isEmpty, isLast, let mid {
        if !gives(entries[level], [mid]) { entries[level] = .integer(mid) }
      } else if !gives(entries[level], needed) {
        entries[level] = entry(needed)
      }
      // A nested list requires the reversed field, even in a level that lost its attentions.
      if needed.isEmpty, let list = entries[level].array { entries[level] = list.first ?? 1 }
    }
    var reversed = reverse ?? entries.reversed()
    for (level, needed) in up.enumerated() where !gives(reversed[level], needed) {
      reversed[level] = entry(needed)
    }

    let isNested = entries.contains { $0.array != nil }
    if reverse != nil || isNested || reversed != entries.reversed() {
      json[reverseField] = .array(reversed)
    }
    if written.array == nil, entries.allSatisfy({ $0 == written }) { return }
    json[field] = .array(entries)
  }

  /// Whether an entry of the list gives these depths to a level's attentions.
  private static func gives(_ entry: JSONValue, _ depths: [Int]) -> Bool {
    if let list = entry.array {
      return list.count >= depths.count && zip(list, depths).allSatisfy { $0.integer == $1 }
    }
    return depths.allSatisfy { $0 == entry.integer }
  }

  private static func entry(_ depths: [Int]) -> JSONValue {
    folded(depths).map { .integer($0) } ?? .integers(depths)
  }

  // MARK: - Values

  /// The common value of all numbers, or `nil`.
  private static func folded(_ numbers: [Int]) -> Int? {
    guard let first = numbers.first, numbers.allSatisfy({ $0 == first }) else { return nil }
    return first
  }

  private static func set(
    _ field: String, _ names: [String], was old: [String], in json: inout JSONObject
  ) {
    if names != old { json[field] = .strings(names) }
  }
}
