/// One row of a table that maps old tensor names to diffusers' current names.
///
/// A pattern is a name with wildcards between dots: `*` matches one part, `**` zero or more parts.
/// The wildcards of ``to`` take, in order, the matches of those in ``from``. The first rule of a
/// table that matches applies. A name without a matching rule stays unchanged.
package struct KeyRule: Sendable {
  package let from: String
  /// `nil` drops the tensor.
  package let to: String?
  /// Whether a 1x1 convolution's weight [out, in, 1, 1] is read as a matrix [out, in].
  package let flattens: Bool

  package init(_ from: String, _ to: String?, flattens: Bool = false) {
    self.from = from
    self.to = to
    self.flattens = flattens
  }
}

/// Tensor names of past and present versions of diffusers and transformers.
package enum DiffusersKeys {
  /// CLIP text encoders. transformers 5.6 and later save `CLIPTextModel` without the prefix
  /// `text_model.`, which readers expect. Old releases stored a buffer `position_ids`.
  package static let textEncoder = [
    KeyRule("**.position_ids", nil),
    KeyRule("embeddings.**", "text_model.embeddings.**"),
    KeyRule("encoder.**", "text_model.encoder.**"),
    KeyRule("final_layer_norm.**", "text_model.final_layer_norm.**"),
  ]

  /// Attentions of the autoencoder. Published files of Stable Diffusion 1.x and 2.x have the names
  /// from before diffusers 0.12, and some store the matrices as 1x1 convolutions.
  package static let autoencoder = [
    KeyRule("**.attentions.*.query.*", "**.attentions.*.to_q.*", flattens: true),
    KeyRule("**.attentions.*.key.*", "**.attentions.*.to_k.*", flattens: true),
    KeyRule("**.attentions.*.value.*", "**.attentions.*.to_v.*", flattens: true),
    KeyRule("**.attentions.*.proj_attn.*", "**.attentions.*.to_out.0.*", flattens: true),
    KeyRule("**.attentions.*.to_q.*", "**.attentions.*.to_q.*", flattens: true),
    KeyRule("**.attentions.*.to_k.*", "**.attentions.*.to_k.*", flattens: true),
    KeyRule("**.attentions.*.to_v.*", "**.attentions.*.to_v.*", flattens: true),
    KeyRule("**.attentions.*.to_out.0.*", "**.attentions.*.to_out.0.*", flattens: true),
  ]
}
