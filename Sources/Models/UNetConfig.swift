package import Support
internal import Tensors

/// The config of a U-Net (diffusers' `UNet2DConditionModel`), read with that class's defaults.
///
/// Fields that are a number or a list of numbers are lists here, one entry a level; lists of the up
/// blocks run from the deepest level outwards, as the blocks do. Whatever would change what runs and
/// is not supported is refused, so a config that is accepted says all that execution needs.
package struct UNetConfig: Sendable {
  package enum DownBlockType: String, CaseIterable, Sendable {
    case crossAttention = "CrossAttnDownBlock2D"
    case plain = "DownBlock2D"
  }

  package enum UpBlockType: String, CaseIterable, Sendable {
    case crossAttention = "CrossAttnUpBlock2D"
    case plain = "UpBlock2D"
  }

  package enum MidBlockType: String, CaseIterable, Sendable {
    /// Resnet, attention, resnet.
    case crossAttention = "UNetMidBlock2DCrossAttn"
    /// One resnet.
    case plain = "UNetMidBlock2D"
  }

  /// SDXL's second embedding: the pooled text and sizes, added to the time's.
  package struct TextTimeEmbedding: Hashable, Sendable {
    /// Width of the sine embedding of each of the `time_ids`.
    package let timeWidth: Int
    /// Width of pooled text and all sine embeddings together.
    package let inputWidth: Int
  }

  /// The config as it was written, with every field that Decant does not know.
  package let json: JSONObject
  package let location: String

  package let sampleSize: ImageSize?
  package let inChannels: Int
  package let outChannels: Int
  package let centerInputSample: Bool
  package let flipSinToCos: Bool
  package let freqShift: Double
  package let downBlockTypes: [DownBlockType]
  /// `nil` where the config says null: the model has no mid block.
  package let midBlockType: MidBlockType?
  package let upBlockTypes: [UpBlockType]
  package let blockOutChannels: [Int]
  package let layersPerBlock: [Int]
  package let downsamplePadding: Int
  package let midBlockScaleFactor: Double
  package let normNumGroups: Int
  package let normEps: Double
  package let crossAttentionDim: [Int]
  /// diffusers' `attention_head_dim`, which is the number of heads: its name is a mistake that
  /// stayed (huggingface/diffusers#2011).
  package let attentionHeads: [Int]
  /// Whether a level's first attention looks at the text too, instead of at the picture itself.
  package let onlyCrossAttention: [Bool]
  /// Transformer blocks in each attention of each down block; empty where a block has none.
  package let downTransformerLayers: [[Int]]
  package let midTransformerLayers: Int
  /// As ``downTransformerLayers``, for the up blocks from the deepest outwards.
  package let upTransformerLayers: [[Int]]
  package let useLinearProjection: Bool
  /// Kept for writers: attention is computed in float32 here in any case.
  package let upcastAttention: Bool
  package let timeEmbeddingDim: Int
  package let timeCondProjDim: Int?
  package let additionEmbedding: TextTimeEmbedding?
  package let convInKernel: Int
  package let convOutKernel: Int

  package var levels: Int { blockOutChannels.count }

  /// Width of the text that attentions look at; the same at every level that has one.
  package var textWidth: Int {
    crossAttentionDim.indices.first(where: hasAttention).map { crossAttentionDim[$0] }
      ?? crossAttentionDim[0]
  }

  /// Whether the level, or the mid block below the last one, looks at the text.
  package func hasAttention(_ level: Int) -> Bool {
    downBlockTypes[level] == .crossAttention
      || upBlockTypes[levels - 1 - level] == .crossAttention
      || level == levels - 1 && midBlockType == .crossAttention
  }

  /// Latent sides that are multiples of this halve evenly at every level.
  package var downsamplingFactor: Int { 1 << (levels - 1) }

  package init(json: JSONObject, location: String) throws(ConfigError) {
    let reader = ConfigReader(json: json, location: location)
    try Self.refuseUnsupported(reader)
    self.json = json
    self.location = location
    let widths = 1...ConfigReader.widthLimit

    downBlockTypes = try reader.names(
      "down_block_types", default: [.crossAttention, .crossAttention, .crossAttention, .plain])
    let levels = downBlockTypes.count
    upBlockTypes = try reader.names(
      "up_block_types", default: [.plain, .crossAttention, .crossAttention, .crossAttention])
    guard upBlockTypes.count == levels else {
      throw reader.refusal(
        "up_block_types", expected: "\(levels) blocks, as many as 'down_block_types' has")
    }
    blockOutChannels = try reader.integers(
      "block_out_channels", default: [320, 640, 1280, 1280], in: widths, count: levels)
    switch json["mid_block_type"] {
    case nil: midBlockType = .crossAttention
    case .null?: midBlockType = nil
    case let value?:
      guard let type = value.string.flatMap(MidBlockType.init(rawValue:)) else {
        let known = MidBlockType.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        throw reader.refusal("mid_block_type", expected: "\(known) or null")
      }
      midBlockType = type
    }

    sampleSize = try reader.sampleSize(default: nil)
    inChannels = try reader.integer("in_channels", default: 4, in: widths)
    outChannels = try reader.integer("out_channels", default: 4, in: widths)
    centerInputSample = try reader.truth("center_input_sample", default: false)
    flipSinToCos = try reader.truth("flip_sin_to_cos", default: true)
    freqShift = try reader.number("freq_shift", default: 0)
    layersPerBlock = try reader.perLevel(
      "layers_per_block", levels: levels, default: 2, in: 0...ConfigReader.layerLimit)
    downsamplePadding = try reader.integer("downsample_padding", default: 1, in: 0...1)
    midBlockScaleFactor = try reader.positive("mid_block_scale_factor", default: 1)
    normNumGroups = try reader.integer("norm_num_groups", default: 32, in: widths)
    normEps = try reader.positive("norm_eps", default: 1e-5)
    crossAttentionDim = try reader.perLevel(
      "cross_attention_dim", levels: levels, default: 1280, in: widths)
    attentionHeads = try reader.perLevel(
      "attention_head_dim", levels: levels, default: 8, in: widths)
    onlyCrossAttention = try reader.truthPerLevel(
      "only_cross_attention", levels: levels, default: false)
    useLinearProjection = try reader.truth("use_linear_projection", default: false)
    upcastAttention = try reader.truth("upcast_attention", default: false)
    timeEmbeddingDim =
      try reader.optionalInteger("time_embedding_dim", in: widths) ?? blockOutChannels[0] * 4
    timeCondProjDim = try reader.optionalInteger("time_cond_proj_dim", in: widths)
    convInKernel = try Self.kernel("conv_in_kernel", reader)
    convOutKernel = try Self.kernel("conv_out_kernel", reader)
    additionEmbedding = try Self.addition(reader)

    let depths = try TransformerDepths(
      reader, levels: levels, layersPerBlock: layersPerBlock,
      downHasAttention: downBlockTypes.map { $0 == .crossAttention },
      upHasAttention: upBlockTypes.map { $0 == .crossAttention })
    downTransformerLayers = depths.down
    midTransformerLayers = depths.mid
    upTransformerLayers = depths.up
    try checkWidths(reader)
  }

  /// Fields that select what is not built here, with the values that select nothing.
  private static func refuseUnsupported(_ reader: ConfigReader) throws(ConfigError) {
    try reader.only("_class_name", "UNet2DConditionModel")
    try reader.only("act_fn", "silu", "swish")
    try reader.only("resnet_time_scale_shift", "default")
    try reader.only("time_embedding_type", "positional")
    try reader.only("attention_type", "default")
    try reader.only("dual_cross_attention", false, nil)
    try reader.only("class_embeddings_concat", false, nil)
    for field in [
      // diffusers itself refuses it; a number of heads stands in `attention_head_dim`.
      "num_attention_heads",
      "class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type",
      "time_embedding_act_fn", "timestep_post_act",
    ] {
      try reader.only(field, nil)
    }
  }

  private static func kernel(_ field: String, _ reader: ConfigReader) throws(ConfigError) -> Int {
    let kernel = try reader.integer(field, default: 3, in: 1...7)
    guard kernel % 2 == 1 else { throw reader.refusal(field, expected: "an odd number") }
    return kernel
  }

  private static func addition(_ reader: ConfigReader) throws(ConfigError) -> TextTimeEmbedding? {
    try reader.only("addition_embed_type", nil, "text_time")
    guard reader.json["addition_embed_type"]?.string != nil else { return nil }
    let widths = 1...ConfigReader.widthLimit
    guard
      let timeWidth = try reader.optionalInteger("addition_time_embed_dim", in: widths)
    else {
      throw reader.refusal("addition_time_embed_dim", expected: "a width for \"text_time\"")
    }
    guard
      let inputWidth = try reader.optionalInteger(
        "projection_class_embeddings_input_dim", in: widths)
    else {
      throw reader.refusal(
        "projection_class_embeddings_input_dim", expected: "a width for \"text_time\"")
    }
    return TextTimeEmbedding(timeWidth: timeWidth, inputWidth: inputWidth)
  }

  /// Widths that groups and heads must divide, and levels that cannot change width without layers.
  private func checkWidths(_ reader: ConfigReader) throws(ConfigError) {
    for (level, channels) in blockOutChannels.enumerated() {
      guard channels % normNumGroups == 0 else {
        throw reader.refusal(
          "norm_num_groups", expected: "a divisor of level \(level)'s \(channels) channels")
      }
      if hasAttention(level) {
        guard channels % attentionHeads[level] == 0 else {
          throw reader.refusal(
            "attention_head_dim",
            expected: "numbers of heads that divide level \(level)'s \(channels) channels")
        }
        guard crossAttentionDim[level] == textWidth else {
          throw reader.refusal(
            "cross_attention_dim", expected: "the same width at every level with attention")
        }
      }
      guard layersPerBlock[level] > 0 || channels == blockOutChannels[max(0, level - 1)] else {
        throw reader.refusal(
          "layers_per_block",
          expected: "at least 1 at level \(level), where the width changes to \(channels)")
      }
    }
  }
}

/// `transformer_layers_per_block` and `reverse_transformer_layers_per_block`, spelled out.
///
/// diffusers takes a number, a list with a number a level, or a list with a list of numbers (one
/// for each attention) at some levels. Lists within the list say nothing of the up blocks, which
/// have one attention more, so the reversed field must then be there.
private struct TransformerDepths {
  var down: [[Int]] = []
  var mid = 0
  var up: [[Int]] = []

  init(
    _ reader: ConfigReader, levels: Int, layersPerBlock: [Int], downHasAttention: [Bool],
    upHasAttention: [Bool]
  ) throws(ConfigError) {
    let forward = "transformer_layers_per_block"
    let backward = "reverse_transformer_layers_per_block"
    let value = reader.json[forward] ?? 1
    let entries = value.array ?? [JSONValue](repeating: value, count: levels)
    guard entries.count == levels else {
      throw reader.refusal(forward, expected: "a number, or a list of \(levels), one a level")
    }
    let reversed: [JSONValue]
    switch reader.json[backward] {
    case nil, .null?:
      guard !entries.contains(where: { $0.array != nil }) else {
        throw reader.refusal(
          backward, expected: "a list, because '\(forward)' holds lists within its list")
      }
      reversed = entries.reversed()
    case let value?:
      guard let list = value.array, list.count == levels else {
        throw reader.refusal(backward, expected: "a list of \(levels), one an up block")
      }
      reversed = list
    }
    for level in 0..<levels {
      let count = downHasAttention[level] ? layersPerBlock[level] : 0
      down.append(try Self.depths(entries[level], forward, attentions: count, reader))
      let upCount = upHasAttention[level] ? layersPerBlock[levels - 1 - level] + 1 : 0
      up.append(
        try Self.depths(
          reversed[level], reader.json[backward]?.array == nil ? forward : backward,
          attentions: upCount, reader))
    }
    mid = try Self.depths(entries[levels - 1], forward, attentions: 1, reader)[0]
    let total = mid + (down + up).joined().reduce(0, +)
    guard total <= Self.limit else {
      throw reader.refusal(
        forward, expected: "at most \(Self.limit) transformer blocks in all, not \(total)")
    }
  }

  /// Most transformer blocks that are believed; SDXL's U-Net has 70. A module list is made of them
  /// before any weight is read.
  private static let limit = 4096

  /// The entry of one level as a depth for each of its attentions.
  private static func depths(
    _ entry: JSONValue, _ field: String, attentions: Int, _ reader: ConfigReader
  ) throws(ConfigError) -> [Int] {
    if attentions == 0 { return [] }
    let range = 0...ConfigReader.layerLimit
    guard let list = entry.array else {
      return [Int](repeating: try reader.integer(entry, field, in: range), count: attentions)
    }
    // diffusers reads as many as there are attentions, and does not mind more.
    guard list.count >= attentions else {
      throw reader.refusal(field, expected: "\(attentions) numbers for a level's attentions")
    }
    var depths: [Int] = []
    for value in list.prefix(attentions) {
      depths.append(try reader.integer(value, field, in: range))
    }
    return depths
  }
}
