package import ModelSources
package import Support
internal import Tensors

/// The config of a U-Net (diffusers' `UNet2DConditionModel`), read with that class's defaults and
/// checked.
///
/// Properties have the names of diffusers' fields. Fields that hold one number or a list are lists
/// here, with one entry per level. Lists of up blocks run from the deepest level outwards, as the
/// blocks do. Values that select an unsupported computation are errors, so a valid config states
/// everything that execution needs.
package struct UNetConfig: Sendable {
  package typealias DownBlockType = UNetBlocks.Down
  package typealias UpBlockType = UNetBlocks.Up
  package typealias MidBlockType = UNetBlocks.Mid

  /// SDXL's added embedding: pooled text and sizes, added to the time embedding.
  package struct TextTimeEmbedding: Hashable, Sendable {
    /// Width of the sinusoidal embedding of each of the `time_ids`.
    package let timeWidth: Int
    /// Width of the pooled text and all sinusoidal embeddings together.
    package let inputWidth: Int
  }

  /// The config as written, including fields that Decant does not use.
  package let json: JSONObject
  /// The path of the config in errors.
  package let location: String

  package let sampleSize: ImageSize?
  package let inChannels: Int
  package let outChannels: Int
  package let centerInputSample: Bool
  package let flipSinToCos: Bool
  package let freqShift: Double
  package let downBlockTypes: [DownBlockType]
  /// `nil` where the config has null: the U-Net has no mid block.
  package let midBlockType: MidBlockType?
  package let upBlockTypes: [UpBlockType]
  package let blockOutChannels: [Int]
  package let layersPerBlock: [Int]
  package let downsamplePadding: Int
  package let midBlockScaleFactor: Double
  package let normNumGroups: Int
  package let normEps: Double
  package let crossAttentionDim: [Int]
  /// diffusers' `attention_head_dim`, which despite its name is the number of heads
  /// (huggingface/diffusers#2011).
  package let attentionHeads: [Int]
  /// Whether a level's first attention attends to the text instead of the image.
  package let onlyCrossAttention: [Bool]
  /// The transformer depth of each attention in each down block; empty for blocks without
  /// attention.
  package let downTransformerLayers: [[Int]]
  package let midTransformerLayers: Int
  /// As ``downTransformerLayers``, for the up blocks.
  package let upTransformerLayers: [[Int]]
  package let useLinearProjection: Bool
  /// Kept for writers. Decant computes attention in float32 in any case.
  package let upcastAttention: Bool
  package let timeEmbeddingDim: Int
  package let timeCondProjDim: Int?
  package let additionEmbedding: TextTimeEmbedding?
  package let convInKernel: Int
  package let convOutKernel: Int

  package var levels: Int { blockOutChannels.count }

  /// The width of the text states; equal at every level with attention.
  package var textWidth: Int {
    crossAttentionDim.indices.first(where: hasAttention).map { crossAttentionDim[$0] }
      ?? crossAttentionDim[0]
  }

  /// Whether a level attends to the text. The mid block counts as part of the last level.
  package func hasAttention(_ level: Int) -> Bool {
    downBlockTypes[level] == .crossAttention
      || upBlockTypes[levels - 1 - level] == .crossAttention
      || level == levels - 1 && midBlockType == .crossAttention
  }

  /// Latent sides must be multiples of this to halve evenly at every level.
  package var downsamplingFactor: Int { 1 << (levels - 1) }

  package init(json: JSONObject, location: String) throws(ConfigError) {
    let reader = ConfigReader(json: json, location: location)
    try Self.refuseUnsupported(reader)
    self.json = json
    self.location = location
    let widths = 1...ConfigReader.widthLimit

    downBlockTypes = try reader.names(
      "down_block_types", default: DownBlockType.standard)
    let levels = downBlockTypes.count
    upBlockTypes = try reader.names(
      "up_block_types", default: UpBlockType.standard)
    guard upBlockTypes.count == levels else {
      throw reader.refusal(
        "up_block_types", expected: "\(levels) blocks, as many as in 'down_block_types'")
    }
    blockOutChannels = try reader.integers(
      "block_out_channels", default: [320, 640, 1280, 1280], in: widths, count: levels)
    switch json["mid_block_type"] {
    case nil: midBlockType = .standard
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
      "layers_per_block", levels: levels, default: UNetBlocks.standardLayers,
      in: 0...ConfigReader.layerLimit)
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

  /// Checks fields that select unsupported features. Only values that select none are accepted.
  private static func refuseUnsupported(_ reader: ConfigReader) throws(ConfigError) {
    try reader.only("_class_name", "UNet2DConditionModel")
    try reader.only("act_fn", "silu", "swish")
    try reader.only("resnet_time_scale_shift", "default")
    try reader.only("time_embedding_type", "positional")
    try reader.only("attention_type", "default")
    try reader.only("dual_cross_attention", false, nil)
    try reader.only("class_embeddings_concat", false, nil)
    for field in [
      // diffusers refuses this field too; `attention_head_dim` holds the number of heads.
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

  /// Checks that groups and heads divide the channels, that all levels take the same text width,
  /// and that levels without layers keep their width.
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

/// The transformer depth of every attention, from `transformer_layers_per_block` and
/// `reverse_transformer_layers_per_block`.
///
/// diffusers accepts a number, a list with one number per level, or a list with nested lists (one
/// number per attention) at some levels. Nested lists do not apply to the up blocks, which have one
/// more attention; then the reversed field is required.
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
      throw reader.refusal(forward, expected: "a number, or a list of \(levels), one per level")
    }
    let reversed: [JSONValue]
    switch reader.json[backward] {
    case nil, .null?:
      guard !entries.contains(where: { $0.array != nil }) else {
        throw reader.refusal(
          backward, expected: "a list, because '\(forward)' contains nested lists")
      }
      reversed = entries.reversed()
    case let value?:
      guard let list = value.array, list.count == levels else {
        throw reader.refusal(backward, expected: "a list of \(levels), one per up block")
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

  /// The limit on transformer blocks in a U-Net; SDXL's has 70. The module list is built before any
  /// weight is read, so a hostile config could otherwise exhaust memory.
  private static let limit = 4096

  /// The depth of each attention of a level, from the level's entry.
  private static func depths(
    _ entry: JSONValue, _ field: String, attentions: Int, _ reader: ConfigReader
  ) throws(ConfigError) -> [Int] {
    if attentions == 0 { return [] }
    let range = 0...ConfigReader.layerLimit
    guard let list = entry.array else {
      return [Int](repeating: try reader.integer(entry, field, in: range), count: attentions)
    }
    // diffusers ignores entries beyond the number of attentions.
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
