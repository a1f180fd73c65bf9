import Formats
import ModelSources
import Support
import Tensors

extension UNetWalk {
  /// Derives the config of `UNet2DConditionModel` from the names and shapes of the U-Net.
  ///
  /// Tensors do not show the number of heads, so ``Architectures/heads(textWidth:isLinear:)``
  /// supplies it.
  func config(
    path: String, shape: (String) -> Shape?
  ) throws(SingleFileError) -> JSONObject {
    func needed(_ name: String, rank: Int) throws(SingleFileError) -> Shape {
      guard let found = shape(name) else { throw .missing(path: path, tensor: name) }
      guard found.rank == rank else {
        throw .misshapen(
          path: path, tensor: name, found: found, expected: "\(rank) dimensions")
      }
      return found
    }
    let convIn = try needed("input_blocks.0.0.weight", rank: 4)
    let convOut = try needed("out.2.weight", rank: 4)
    let attention = firstAttention(shape)
    let isLinear = attention.map { shape("\($0).proj_in.weight")?.rank == 2 } ?? false
    let text = attention.flatMap {
      shape("\($0).transformer_blocks.0.attn2.to_k.weight")?.rowLength
    }
    var config: JSONObject = [
      "_class_name": "UNet2DConditionModel", "act_fn": "silu",
      "attention_head_dim": heads(Architectures.heads(textWidth: text, isLinear: isLinear)),
      "block_out_channels": .integers(channels),
      "center_input_sample": false,
      "down_block_types": .array(
        topology.down.map {
          let type = $0.attentions.contains(true) ? UNetBlocks.Down.crossAttention : .plain
          return .string(type.rawValue)
        }),
      "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
      "in_channels": .integer(convIn[1]),
      "layers_per_block": folded(topology.down.map(\.attentions.count)),
      "mid_block_scale_factor": 1, "mid_block_type": midType, "norm_eps": 1e-05,
      "norm_num_groups": .integer(normGroups(dividing: channels)),
      "out_channels": .integer(convOut[0]),
      "up_block_types": .array(
        topology.up.map {
          let type = $0.attentions.contains(true) ? UNetBlocks.Up.crossAttention : .plain
          return .string(type.rawValue)
        }),
      "use_linear_projection": .bool(isLinear),
    ]
    if let text { config["cross_attention_dim"] = .integer(text) }
    try setDepths(in: &config, path: path)
    if let time = shape("time_embed.0.weight")?.rows, time != 4 * channels[0] {
      config["time_embedding_dim"] = .integer(time)
    }
    if let projection = shape("time_embedding.cond_proj.weight") {
      config["time_cond_proj_dim"] = .integer(projection.rowLength)
    }
    if let added = shape("label_emb.0.0.weight") {
      config["addition_embed_type"] = "text_time"
      config["addition_time_embed_dim"] = .integer(SingleFileFacts.sizeWidth)
      config["projection_class_embeddings_input_dim"] = .integer(added.rowLength)
    }
    return config
  }

  /// `attention_head_dim`, which despite its name is the number of heads.
  private func heads(_ heads: Architecture.Heads) -> JSONValue {
    switch heads {
    case .count(let count): .integer(count)
    case .width(let width): .array(channels.map { .integer(max(1, $0 / width)) })
    }
  }

  /// The LDM prefix of the first attention to the text.
  private func firstAttention(_ shape: (String) -> Shape?) -> String? {
    let diffusers = ["down_blocks", "up_blocks"].flatMap { side in
      channels.indices.map { "\(side).\($0).attentions.0" }
    }
    return (diffusers + ["mid_block.attentions.0"]).compactMap { pairs.other($0) }
      .first { shape("\($0).transformer_blocks.0.attn2.to_k.weight") != nil }
  }

  private var midType: JSONValue {
    guard let mid = topology.mid else { return .null }
    let type = mid.hasAttention ? UNetBlocks.Mid.crossAttention : .plain
    return .string(type.rawValue)
  }

  /// Sets `transformer_layers_per_block`, and `reverse_transformer_layers_per_block` where the up
  /// blocks differ.
  private func setDepths(
    in config: inout JSONObject, path: String
  ) throws(SingleFileError) {
    var entries = downDepths.map { $0.isEmpty ? 1 : folded($0) }
    var reversed = upDepths.enumerated().map { index, depths in
      depths.isEmpty ? entries[entries.count - 1 - index] : folded(depths)
    }
    if let midDepth {
      // The mid block uses the last entry of the list, as the last level does.
      if let own = downDepths.last?.first, own != midDepth {
        throw .topology(
          path: path, part: "the mid block", found: "\(midDepth) transformer blocks",
          expected: "\(own), as in the last level")
      }
      if downDepths.last?.isEmpty == true { entries[entries.count - 1] = .integer(midDepth) }
      if upDepths.first?.isEmpty == true { reversed[0] = entries[entries.count - 1] }
    }
    let isNested = (entries + reversed).contains { $0.array != nil }
    if entries.allSatisfy({ $0 == 1 }), !isNested, reversed.allSatisfy({ $0 == 1 }) { return }
    config["transformer_layers_per_block"] = .array(entries)
    if isNested || reversed != entries.reversed() {
      config["reverse_transformer_layers_per_block"] = .array(reversed)
    }
  }
}

/// One number if all are equal, else the list.
private func folded(_ numbers: [Int]) -> JSONValue {
  guard let first = numbers.first, numbers.allSatisfy({ $0 == first }) else {
    return .integers(numbers)
  }
  return .integer(first)
}
