/// Kinds of tensor files that Decant does not read, with the tensor names that identify them, so
/// that error messages can say what a file is.
package enum ForeignModels {
  /// A kind of tensor file.
  package struct Kind: Sendable {
    package let name: String
    /// A description after the name: an apposition or a relative clause.
    package let nature: String
    /// Substrings, each of which occurs in the name of some tensor.
    package let marks: [String]

    init(_ name: String, _ nature: String, _ marks: String...) {
      (self.name, self.nature, self.marks) = (name, nature, marks)
    }
  }

  private static let transformer = "a diffusion transformer without a U-Net"
  private static let addition = "an addition to a model"

  /// Every kind. The first whose marks all occur is the kind of a file.
  package static let all: [Kind] = [
    Kind("Stable Diffusion 3", transformer, "joint_blocks.", "context_embedder."),
    Kind("Flux", transformer, "double_blocks.", "single_blocks."),
    Kind("Flux", transformer, "single_transformer_blocks.", "context_embedder."),
    Kind("Stable Diffusion 3", transformer, "transformer_blocks.", "context_embedder."),
    Kind("PixArt", transformer, "adaln_single.", "caption_projection."),
    Kind("AuraFlow", transformer, "double_layers.", "single_layers."),
    Kind("Hunyuan-DiT", transformer, "text_embedding_padding"),
    Kind("Lumina", transformer, "noise_refiner.", "context_refiner."),
    Kind("Qwen-Image", transformer, "transformer_blocks.", "txt_norm."),
    Kind("Wan", transformer, "patch_embedding.", "time_projection."),
    Kind("Stable Cascade", "a pipeline with other stages", "clip_txt_mapper."),
    Kind("Stable Video Diffusion", "a video U-Net", ".time_stack."),
    Kind("Stable Video Diffusion", "a video U-Net", ".temporal_transformer_blocks."),
    Kind("an AnimateDiff motion module", addition, ".motion_modules."),
    Kind("a ControlNet", addition, "input_hint_block."),
    Kind("a ControlNet", addition, "controlnet_cond_embedding."),
    Kind("an IP-Adapter", addition, "image_proj.", "ip_adapter."),
    Kind("a T2I-Adapter", addition, "body.0.block1."),
    Kind("a textual inversion", "token embeddings for a text encoder", "emb_params"),
    Kind("a textual inversion", "token embeddings for a text encoder", "string_to_param"),
    Kind("a textual inversion", "token embeddings for text encoders", "clip_g", "clip_l"),
    Kind("a T5 text encoder", "which no supported family has", "layer.0.SelfAttention."),
    Kind("a T5 text encoder", "which no supported family has", "enc.blk.0."),
    Kind("a CLIP image encoder", "which no supported family has", "vision_model."),
    Kind("a language model", "which generates text", "model.layers.0.self_attn."),
    Kind("a language model", "which generates text", "blk.0.attn_q."),
    Kind("an upscaler", "which works on pixels", "conv_first.", "conv_last."),
    Kind("an upscaler", "which works on pixels", "model.1.sub.0."),
  ]

  /// Name endings of the tensors whose shapes are most characteristic of a model.
  package static let characteristic = [
    "input_blocks.0.0.weight", "conv_in.weight", "attn2.to_k.weight", "label_emb.0.0.weight",
    "add_embedding.linear_1.weight", "x_embedder.proj.weight", "context_embedder.weight",
    "img_in.weight", "txt_in.weight", "patch_embedding.weight", "patch_embed.proj.weight",
    "quant_conv.weight", "token_embedding.weight", "shared.weight",
  ]
}
