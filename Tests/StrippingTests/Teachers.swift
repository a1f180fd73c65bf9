import ModelSources
import Models
import Support
import Tensors

/// SD 1.4's U-Net: diffusers' defaults except for the width of the text.
func stableDiffusion1() throws -> UNetConfig {
  try unet(["cross_attention_dim": 768])
}

/// SD 1's topology, small enough to hold in memory.
func miniature(_ changes: JSONObject = [:]) throws -> UNetConfig {
  var json: JSONObject = [
    "block_out_channels": [32, 64, 96, 96], "layers_per_block": 2, "cross_attention_dim": 40,
    "attention_head_dim": 4, "norm_num_groups": 4,
  ]
  for (field, value) in changes.members { json[field] = value }
  return try unet(json)
}

/// SDXL's topology: three levels, attentions of depth 2 and 10, and a mid block with the depth of
/// the last level.
func threeLevels() throws -> UNetConfig {
  try unet([
    "block_out_channels": [32, 64, 96], "layers_per_block": 2, "cross_attention_dim": 40,
    "attention_head_dim": [1, 2, 3], "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": true,
  ])
}

func unet(_ json: JSONObject) throws -> UNetConfig {
  try UNetConfig(json: json, location: "teacher/unet/config.json")
}

/// Weights for a config. Each tensor is filled with its own number, so that swapped tensors differ.
func weights(for config: UNetConfig) -> MemorySource {
  MemorySource(
    location: "teacher",
    config.modules.tensors.enumerated().map { index, tensor in
      let values = [Float](repeating: Float(index + 1), count: tensor.shape.count)
      return (tensor.name, StoredTensor(shape: tensor.shape, floats: values))
    })
}
