/// Names of OpenCLIP's text encoders beside transformers'.
package enum OpenCLIPKeys {
  package static let modules = [
    ("text_model.embeddings.token_embedding", "token_embedding"),
    ("text_model.final_layer_norm", "ln_final"),
  ]

  /// Before a layer's number.
  package static let layers = (ours: "text_model.encoder.layers.", theirs: "transformer.resblocks.")

  /// Below a layer, where only names differ.
  package static let layer = [
    ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj"),
    ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
  ]

  /// Tensors that are no module's, of which the second is turned around.
  package static let positions = (
    ours: "text_model.embeddings.position_embedding.weight", theirs: "positional_embedding"
  )
  package static let projection = (ours: "text_projection.weight", theirs: "text_projection")

  /// Below a layer: what is one matrix, of weights and of biases, and the parts in the order in which
  /// they are stacked in it.
  package static let stack = "attn.in_proj_"
  package static let stacked = ["q_proj", "k_proj", "v_proj"]
  package static let stackKinds = ["weight", "bias"]

  /// The projection in stable-diffusion.cpp, which has all else as transformers.
  package static let projectionInTransformers = "text_model.text_projection"
}
