import Formats
import Support
import Tensors

/// Tensor names of the autoencoder in the LDM layout, and the config derived from its shapes.
///
/// The LDM layout numbers the decoder's levels in reverse order and stores attention matrices as
/// 1x1 convolutions.
enum AutoencoderNames {
  /// Pairs of diffusers' names and LDM names.
  static func pairs(levels: Int, layers: Int) -> NamePairs {
    var pairs = NamePairs()
    for (diffusers, other) in LDMKeys.autoencoderModules { pairs.add(diffusers, other) }
    for half in ["encoder", "decoder"] {
      pairs.add(half, half, LDMKeys.autoencoderHalf)
      let (diffusers, other) = LDMKeys.autoencoderAttention
      pairs.add("\(half).\(diffusers)", "\(half).\(other)")
      pairs.add("\(half).\(diffusers)", "\(half).\(other)", LDMKeys.autoencoderAttentionParts)
    }
    for level in 0..<levels {
      let (down, up) = ("down_blocks.\(level)", "up_blocks.\(levels - 1 - level)")
      for layer in 0..<layers {
        resnet("encoder.\(down).resnets.\(layer)", "encoder.down.\(level).block.\(layer)", &pairs)
      }
      for layer in 0...layers {
        resnet("decoder.\(up).resnets.\(layer)", "decoder.up.\(level).block.\(layer)", &pairs)
      }
      pairs.add("encoder.\(down).downsamplers.0.conv", "encoder.down.\(level).downsample.conv")
      pairs.add("decoder.\(up).upsamplers.0.conv", "decoder.up.\(level).upsample.conv")
    }
    return pairs
  }

  private static func resnet(_ diffusers: String, _ other: String, _ pairs: inout NamePairs) {
    pairs.add(diffusers, other)
    pairs.add(diffusers, other, LDMKeys.autoencoderResnet)
  }

  /// Whether the tensor is a matrix in diffusers and a 1x1 convolution in the LDM layout.
  static func isConvolutionInLDM(_ name: String, _ shape: Shape) -> Bool {
    name.contains(".attentions.") && shape.rank == 2
  }

  /// Derives the config of `AutoencoderKL` from shapes.
  ///
  /// - Parameter shape: the shape of a tensor by its LDM name.
  static func config(
    path: String, shape: (String) -> Shape?
  ) throws(SingleFileError) -> JSONObject {
    var channels: [Int] = []
    while let width = shape("encoder.down.\(channels.count).block.0.conv1.weight")?.rows {
      channels.append(width)
    }
    var layers = 0
    while shape("encoder.down.0.block.\(layers).conv1.weight") != nil { layers += 1 }
    for name in ["encoder.down.0.block.0.conv1.weight", "encoder.conv_in.weight"]
    where shape(name)?.rank != 4 { throw .missing(path: path, tensor: name) }
    let latent = shape("decoder.conv_in.weight")?.extents.dropFirst().first ?? 4
    func repeated(_ name: JSONValue) -> JSONValue {
      .array([JSONValue](repeating: name, count: channels.count))
    }
    var config: JSONObject = [
      "_class_name": "AutoencoderKL", "act_fn": "silu",
      "block_out_channels": .integers(channels),
      "down_block_types": repeated("DownEncoderBlock2D"),
      "in_channels": .integer(shape("encoder.conv_in.weight")?[1] ?? 3),
      "latent_channels": .integer(latent), "layers_per_block": .integer(layers),
      "norm_num_groups": .integer(normGroups(dividing: channels)),
      "out_channels": .integer(shape("decoder.conv_out.weight")?.rows ?? 3),
      "up_block_types": repeated("UpDecoderBlock2D"),
    ]
    if shape("quant_conv.weight") == nil { config["use_quant_conv"] = false }
    if shape("post_quant_conv.weight") == nil { config["use_post_quant_conv"] = false }
    if shape("encoder.mid.attn_1.q.weight") == nil { config["mid_block_add_attention"] = false }
    return config
  }
}
