/// Names of the layout of Stability's LDM and SGM code beside diffusers', as in diffusers'
/// `single_file_utils.py`. What stands in every model is here row by row; blocks, whose numbers depend
/// on the model, are counted by who reads and writes them.
package enum LDMKeys {
  // MARK: - Before the names of a part

  package static let unet = "model.diffusion_model."
  package static let autoencoder = "first_stage_model."
  /// The text encoder of Stable Diffusion 1 and 2.
  package static let text = "cond_stage_model."
  /// The second one, as stable-diffusion.cpp has it.
  package static let secondText = "cond_stage_model.1."
  /// The text encoders of SDXL, and the only one of its refiner at the first one's place.
  package static let textXL = "conditioner.embedders.0."
  package static let secondTextXL = "conditioner.embedders.1."
  /// What transformers' and OpenCLIP's encoders have below that.
  package static let transformers = "transformer."
  package static let openCLIP = "model."
  /// The moving average of the weights, and that of the U-Net's, whose names have no dots after it.
  package static let average = "model_ema."
  package static let averageUNet = "model_ema.diffusion_model"

  // MARK: - The U-Net

  package static let unetModules = [
    ("conv_in", "input_blocks.0.0"), ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("time_embedding.cond_proj", "time_embedding.cond_proj"),
    ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
  ]

  /// Below a resnet.
  package static let unetResnet = [
    ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"),
  ]

  /// Every word of a U-Net's names in the LDM layout, longer ones before those that they begin with.
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

  /// Below the encoder, and below the decoder.
  package static let autoencoderHalf = [
    ("conv_in", "conv_in"), ("conv_norm_out", "norm_out"), ("conv_out", "conv_out"),
    ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"),
  ]

  /// The attention of either half, and what is below it.
  package static let autoencoderAttention = ("mid_block.attentions.0", "mid.attn_1")
  package static let autoencoderAttentionParts = [
    ("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"),
  ]

  /// Below a resnet, all other names being the same.
  package static let autoencoderResnet = [("conv_shortcut", "nin_shortcut")]
}
