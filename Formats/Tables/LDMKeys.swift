/// Tensor names in the layout of Stability's LDM and SGM code, paired with diffusers' names as in
/// diffusers' `single_file_utils.py`.
///
/// The table has the names that are equal in every model. Block numbers depend on the model;
/// readers and writers compute them.
package enum LDMKeys {
  // MARK: - Prefixes of components

  package static let unet = "model.diffusion_model."
  package static let autoencoder = "first_stage_model."
  /// The text encoder of Stable Diffusion 1 and 2.
  package static let text = "cond_stage_model."
  /// The second text encoder in stable-diffusion.cpp's files.
  package static let secondText = "cond_stage_model.1."
  /// The first text encoder of SDXL, and the only one of its refiner.
  package static let textXL = "conditioner.embedders.0."
  package static let secondTextXL = "conditioner.embedders.1."
  /// The next prefix of transformers' and OpenCLIP's encoders.
  package static let transformers = "transformer."
  package static let openCLIP = "model."
  /// The moving average of the weights, and that of the U-Net. Names have no dots after the latter.
  package static let average = "model_ema."
  package static let averageUNet = "model_ema.diffusion_model"
  /// Numbers of the average that are no weights.
  package static let averageFacts = ["model_ema.decay", "model_ema.num_updates"]

  // MARK: - The U-Net

  package static let unetModules = [
    ("conv_in", "input_blocks.0.0"), ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("time_embedding.cond_proj", "time_embedding.cond_proj"),
    ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
  ]

  /// The modules of a resnet.
  package static let unetResnet = [
    ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"),
  ]

  /// Every word in LDM names of a U-Net. A word precedes all words that are its prefixes.
  package static let unetWords = [
    "input_blocks", "middle_block", "output_blocks", "time_embedding", "cond_proj", "time_embed",
    "label_emb", "emb_layers",
    "in_layers", "out_layers", "skip_connection", "transformer_blocks", "attn1", "attn2", "norm1",
    "norm2", "norm3", "norm", "proj_in", "proj_out", "proj", "to_out", "to_q", "to_k", "to_v",
    "net",
    "ff", "op", "conv", "out", "weight", "bias",
  ]

  // MARK: - The autoencoder

  package static let autoencoderModules = [
    ("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv"),
  ]

  /// The modules of the encoder and of the decoder.
  package static let autoencoderHalf = [
    ("conv_in", "conv_in"), ("conv_norm_out", "norm_out"), ("conv_out", "conv_out"),
    ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"),
  ]

  /// The attention of encoder and decoder, and its modules.
  package static let autoencoderAttention = ("mid_block.attentions.0", "mid.attn_1")
  package static let autoencoderAttentionParts = [
    ("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"),
  ]

  /// The modules of a resnet whose names differ.
  package static let autoencoderResnet = [("conv_shortcut", "nin_shortcut")]
}
