/// Which part of a pipeline the tensors of one file are of, by the beginnings of their names.
package enum SingleFileKeys {
  /// A part, as names tell it: text encoders of SDXL have a prefix of their own.
  package enum Place: Sendable { case unet, vae, text, textXL, text2 }

  /// What files put before the names of a part; longer ones first.
  package static let prefixes: [(prefix: String, place: Place)] = [
    (LDMKeys.unet, .unet), (LDMKeys.autoencoder, .vae), (LDMKeys.textXL, .textXL),
    (LDMKeys.secondTextXL, .text2), (LDMKeys.secondText, .text2), (LDMKeys.text, .text),
    ("text_encoder_2.", .text2), ("text_encoder.", .text), ("unet.", .unet), ("vae.", .vae),
  ]

  /// Names that a part alone begins with, where nothing has a prefix.
  package static let beginnings: [(prefix: String, place: Place)] = [
    ("input_blocks.", .unet), ("middle_block.", .unet), ("output_blocks.", .unet),
    ("time_embed.", .unet), ("time_embedding.", .unet), ("label_emb.", .unet),
    ("add_embedding.", .unet), ("out.", .unet), ("down_blocks.", .unet), ("mid_block.", .unet),
    ("up_blocks.", .unet), ("conv_in.", .unet), ("conv_out.", .unet), ("conv_norm_out.", .unet),
    ("encoder.down", .vae), ("encoder.mid", .vae), ("encoder.conv", .vae), ("encoder.norm", .vae),
    ("decoder.", .vae), ("quant_conv.", .vae), ("post_quant_conv.", .vae),
    ("text_model.", .text), ("transformer.", .text), ("embeddings.", .text),
    ("encoder.layers.", .text), ("final_layer_norm.", .text), ("text_projection", .text),
    ("token_embedding.", .text), ("positional_embedding", .text), ("ln_final.", .text),
    ("logit_scale", .text),
  ]

  /// What stands around the parts of a model, before the first dot of a name.
  package static let wraps = [
    "model", "conditioner", "cond_stage_model", "text_encoders", "unet", "transformer",
  ]

  /// Endings of buffers that came with old versions of the libraries, as whole numbers or, in merges,
  /// not.
  package static let ignoredEndings = [positionIDs, "logit_scale"]
  package static let positionIDs = "position_ids"
}
