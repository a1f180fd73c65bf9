/// One row of a table that turns the names of a file into diffusers' names of today.
///
/// A pattern is a name with wildcards between dots: `*` is one part, `**` any number of parts,
/// none included. What the wildcards of ``from`` match is put, in order, where those of ``to``
/// stand. Tables are read top to bottom and the first rule that matches holds; a name that none
/// matches stays as it is.
package struct KeyRule: Sendable {
  package let from: String
  /// `nil` drops the tensor.
  package let to: String?
  /// Whether a 1x1 convolution's weight [out, in, 1, 1] is read as the matrix [out, in] it is.
  package let flattens: Bool

  package init(_ from: String, _ to: String?, flattens: Bool = false) {
    self.from = from
    self.to = to
    self.flattens = flattens
  }
}

/// Names that diffusers and transformers have, or had, in folders.
package enum DiffusersKeys {
  /// CLIP text encoders. transformers 5.6 and later save `CLIPTextModel` without the `text_model.`
  /// prefix that every reader understands. `position_ids` was a buffer of old releases.
  package static let textEncoder = [
    KeyRule("**.position_ids", nil),
    KeyRule("embeddings.**", "text_model.embeddings.**"),
    KeyRule("encoder.**", "text_model.encoder.**"),
    KeyRule("final_layer_norm.**", "text_model.final_layer_norm.**"),
  ]

  /// The VAE's attentions in hub files of SD 1.x and 2.x have their names of before diffusers 0.12,
  /// and in some of them the matrices are still 1x1 convolutions.
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
