/// Name prefixes that assign the tensors of a single file to components.
package enum SingleFileKeys {
  /// The component that a prefix stands for. SDXL's first text encoder has a separate prefix.
  package enum Group: Sendable { case unet, vae, text, textXL, text2 }

  /// Prefixes of components, longer ones first.
  package static let prefixes: [(prefix: String, group: Group)] = [
    (LDMKeys.unet, .unet), (LDMKeys.autoencoder, .vae), (LDMKeys.textXL, .textXL),
    (LDMKeys.secondTextXL, .text2), (LDMKeys.secondText, .text2), (LDMKeys.text, .text),
    ("text_encoder_2.", .text2), ("text_encoder.", .text), ("unet.", .unet), ("vae.", .vae),
  ]

  /// Name beginnings in files without prefixes, which hold a single component.
  package static let beginnings: [(prefix: String, group: Group)] = [
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

  /// One tensor of each component, by which the component is found where all of its names have an
  /// unknown prefix. A name precedes all names that are its endings.
  package static let anchors: [(tensor: String, group: Group)] = [
    ("input_blocks.0.0.weight", .unet), ("time_embedding.linear_1.weight", .unet),
    ("encoder.conv_in.weight", .vae), ("decoder.conv_in.weight", .vae),
    ("text_model.embeddings.token_embedding.weight", .text),
    ("embeddings.token_embedding.weight", .text), ("token_embedding.weight", .text),
  ]

  /// Widths of the text encoders of SDXL, CLIP-L and OpenCLIP-G, which tell them apart in files of
  /// one encoder. CLIP-L is the only encoder of Stable Diffusion 1.
  package static let firstTextWidth = 768
  package static let secondTextWidth = 1280

  /// First parts of names that only group components, such as `model.diffusion_model`.
  package static let wrappers = [
    "model", "conditioner", "cond_stage_model", "text_encoders", "unet", "transformer",
  ]

  /// Name endings of buffers that old library versions stored. They are integers, or floats in
  /// merged models.
  package static let ignoredEndings = [positionIDs, "logit_scale"]
  package static let positionIDs = "position_ids"
}
