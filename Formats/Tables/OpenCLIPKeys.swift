/// Tensor names of OpenCLIP's text encoders, paired with transformers' (and diffusers') names.
package enum OpenCLIPKeys {
  /// Modules outside the layers.
  package static let modules = [
    ("text_model.embeddings.token_embedding", "token_embedding"),
    ("text_model.final_layer_norm", "ln_final"),
  ]

  /// The prefix of a layer's number.
  package static let layers = (
    diffusers: "text_model.encoder.layers.", openCLIP: "transformer.resblocks."
  )

  /// The modules of a layer that differ only in name.
  package static let layer = [
    ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj"),
    ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
  ]

  /// Tensors that are not part of a module. OpenCLIP stores the projection transposed.
  package static let positions = (
    diffusers: "text_model.embeddings.position_embedding.weight", openCLIP: "positional_embedding"
  )
  package static let projection = (diffusers: "text_projection.weight", openCLIP: "text_projection")

  /// The prefix of the stacked weight and bias of a layer's attention, and the modules in the order
  /// in which they are stacked.
  package static let stackModule = "attn.in_proj"
  package static let stack = stackModule + "_"
  package static let stacked = ["q_proj", "k_proj", "v_proj"]
  package static let stackKinds = ["weight", "bias"]

  /// The projection in stable-diffusion.cpp's files, which otherwise use transformers' names.
  package static let projectionInTransformers = "text_model.text_projection"
}
