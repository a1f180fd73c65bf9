/// One row of a table that maps old tensor names to diffusers' current names.
///
/// A pattern is a name with wildcards between dots: `*` matches one part, `**` zero or more parts.
/// The wildcards of ``to`` take, in order, the matches of those in ``from``. The first rule of a
/// table that matches applies. A name without a matching rule stays unchanged.
package struct KeyRule: Sendable {
  package let from: String
  /// `nil` drops the tensor.
  package let to: String?
  /// Whether a 1x1 convolution's weight [out, in, 1, 1] is read as a matrix [out, in], and a vector
  /// [1, C, 1, 1] or [C, 1, 1] as [C].
  package let flattens: Bool

  package init(_ from: String, _ to: String?, flattens: Bool = false) {
    self.from = from
    self.to = to
    self.flattens = flattens
  }
}

/// Tensor names of past and present versions of diffusers and transformers, and names of weight files.
package enum DiffusersKeys {
  /// The variants that are the plain weights in another number type. Others, such as `non_ema`, may be
  /// other weights.
  package static let numberTypeVariants = ["bf16", "fp16", "fp32"]

  /// CLIP text encoders. transformers 5.6 and later save `CLIPTextModel` without the prefix
  /// `text_model.`, which readers expect. Old releases stored a buffer `position_ids`.
  package static let textEncoder = [
    KeyRule("**.position_ids", nil),
    KeyRule("embeddings.**", "text_model.embeddings.**"),
    KeyRule("encoder.**", "text_model.encoder.**"),
    KeyRule("final_layer_norm.**", "text_model.final_layer_norm.**"),
  ]

  /// The modules of an autoencoder's attention, each with the names that other versions and programs
  /// have for it: the LDM layout (`q`, `proj_out`), diffusers before 0.12 (`query`, `proj_attn`), and
  /// converters that renamed a tensor twice (`to_to_q`).
  package static let autoencoderAttention: [(name: String, others: [String])] = [
    ("group_norm", ["norm"]), ("to_q", ["q", "query", "to_to_q"]),
    ("to_k", ["k", "key", "to_to_k"]), ("to_v", ["v", "value", "to_to_v"]),
    ("to_out.0", ["proj_out", "proj_attn", "to_out", "to_to_out.0"]),
  ]

  /// Attentions of the autoencoder. Their matrices may be stored as 1x1 convolutions, and their
  /// vectors with extents of 1 around.
  package static let autoencoder = autoencoderAttention.flatMap { current, others in
    ([current] + others).map {
      KeyRule("**.attentions.*.\($0).*", "**.attentions.*.\(current).*", flattens: true)
    }
  }
}
