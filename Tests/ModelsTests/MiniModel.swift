import ModelSources
import Models
import Support
import Tensors

/// A small model with the architecture of Stable Diffusion 1.x and random weights.
enum MiniModel {
  static let unet: JSONObject = [
    "_class_name": "UNet2DConditionModel", "block_out_channels": [16, 32],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "layers_per_block": 1,
    "norm_num_groups": 8, "attention_head_dim": 2, "cross_attention_dim": 24, "sample_size": 8,
  ]
  static let vae: JSONObject = [
    "_class_name": "AutoencoderKL", "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"], "norm_num_groups": 4,
  ]
  static let textEncoder: JSONObject = [
    "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": 64,
    "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "eos_token_id": 2,
  ]

  static func source(
    unet: JSONObject = unet, vae: JSONObject = vae, textEncoder: JSONObject = textEncoder
  ) throws -> ModelSource {
    func weights(_ modules: [ModuleSpec]) -> RandomWeights {
      RandomWeights(location: "mini", modules: modules, kind: .f32, seed: 1)
    }
    return ModelSource(
      location: "mini", layout: "memory", index: [:],
      components: [
        .init(
          name: "text_encoder", className: "CLIPTextModel", config: textEncoder,
          weights: weights(try TextEncoderConfig(json: textEncoder, location: "").modules)),
        .init(
          name: "unet", className: "UNet2DConditionModel", config: unet,
          weights: weights(try UNetConfig(json: unet, location: "").modules)),
        .init(
          name: "vae", className: "AutoencoderKL", config: vae,
          weights: weights(try VAEConfig(json: vae, location: "").modules)),
      ],
      scheduler: nil, files: [])
  }
}

/// A source with some tensors removed, renamed or replaced.
struct AlteredWeights: WeightSource {
  let base: any WeightSource
  /// New names by old name; `nil` removes the tensor.
  var renamed: [String: String?] = [:]
  var replaced: [String: StoredTensor] = [:]

  var location: String { base.location }

  var names: [String] {
    base.names.compactMap { name in
      if let new = renamed[name] { new } else { name }
    } + replaced.keys.filter { base.entry($0) == nil }.sorted()
  }

  private func original(_ name: String) -> String? {
    if let old = renamed.first(where: { $0.value == name })?.key { return old }
    return renamed.keys.contains(name) ? nil : name
  }

  func entry(_ name: String) -> TensorEntry? {
    replaced[name]?.entry ?? original(name).flatMap { base.entry($0) }
  }

  func tensor(_ name: String) throws -> StoredTensor {
    if let tensor = replaced[name] { return tensor }
    return try base.tensor(original(name) ?? name)
  }
}
