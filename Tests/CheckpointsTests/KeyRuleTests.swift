import Checkpoints
import ModelSources
import Tensors
import TestSupport
import Testing

/// The names that the rules of the diffusers layout give to tensors.
struct KeyTableTests {
  /// The names under which a component's tensors are read.
  private func names(_ component: String, _ names: [String]) throws -> [String] {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let file = component == "vae" ? "vae/diffusion_pytorch_model" : component + "/model"
      try tiny.weights(names.map { ($0, counting([2])) }, file + ".safetensors")
      return try #require(try tiny.read()[component]).weights.names.sorted()
    }
  }

  @Test(
    arguments: [
      ("embeddings.token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
      ("encoder.layers.0.mlp.fc1.bias", "text_model.encoder.layers.0.mlp.fc1.bias"),
      ("final_layer_norm.weight", "text_model.final_layer_norm.weight"),
      ("text_model.encoder.layers.0.mlp.fc1.bias", "text_model.encoder.layers.0.mlp.fc1.bias"),
      ("text_projection.weight", "text_projection.weight"),
      ("logit_scale", "logit_scale"),
      ("text_model.embeddings.position_ids", nil), ("embeddings.position_ids", nil),
      ("position_ids", nil),
    ] as [(String, String?)])
  func textEncoders(name: String, canonical: String?) throws {
    #expect(try names("text_encoder", [name]) == [canonical].compactMap(\.self))
  }

  @Test(arguments: [
    ("encoder.mid_block.attentions.0.query.weight", "encoder.mid_block.attentions.0.to_q.weight"),
    ("decoder.mid_block.attentions.0.key.bias", "decoder.mid_block.attentions.0.to_k.bias"),
    ("decoder.mid_block.attentions.0.value.bias", "decoder.mid_block.attentions.0.to_v.bias"),
    (
      "decoder.mid_block.attentions.0.proj_attn.weight",
      "decoder.mid_block.attentions.0.to_out.0.weight"
    ),
    ("decoder.mid_block.attentions.0.to_q.weight", "decoder.mid_block.attentions.0.to_q.weight"),
    (
      "decoder.mid_block.attentions.0.group_norm.weight",
      "decoder.mid_block.attentions.0.group_norm.weight"
    ),
    ("quant_conv.weight", "quant_conv.weight"), ("query.weight", "query.weight"),
    ("a..b", "a..b"), ("", ""),
  ])
  func autoencoders(name: String, canonical: String) throws {
    #expect(try names("vae", [name]) == [canonical])
  }

  /// Matrices that are stored as 1x1 convolutions are read as matrices; convolutions are not.
  @Test func attentionKernelsOfTheVAEBecomeMatrices() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let attention = "decoder.mid_block.attentions.0."
      try tiny.weights(
        [
          (attention + "query.weight", counting([2, 2, 1, 1])),
          (attention + "to_k.weight", counting([2, 2, 1, 1], from: 4)),
          (attention + "proj_attn.weight", counting([2, 2])),
          (attention + "value.bias", counting([2])),
          ("post_quant_conv.weight", counting([2, 2, 1, 1])),
        ], "vae/diffusion_pytorch_model.safetensors")
      let weights = try #require(try tiny.read()["vae"]).weights
      func shape(_ name: String) -> Shape? { weights.entry(name)?.shape }
      #expect(shape(attention + "to_q.weight") == [2, 2])
      #expect(shape(attention + "to_k.weight") == [2, 2])
      #expect(shape(attention + "to_out.0.weight") == [2, 2])
      #expect(shape(attention + "to_v.bias") == [2])
      #expect(shape("post_quant_conv.weight") == [2, 2, 1, 1])
      #expect(
        try weights.tensor(attention + "to_k.weight").widened()
          == Tensor(shape: [2, 2], values: [4, 5, 6, 7]))
      #expect(
        message { _ = try weights.tensor(attention + "query.weight") }
          == "\(tiny.path)/vae/diffusion_pytorch_model.safetensors: "
          + "tensor '\(attention)query.weight': no tensor has this name")
    }
  }

  /// No file has old names of the U-Net, so `query` there is another model's.
  @Test func namesOfTheUNetAreNotChanged() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(
        [("mid_block.attentions.0.query.weight", counting([2, 2, 1, 1]))],
        TinyFolder.stem + ".safetensors")
      let weights = try #require(try tiny.read()["unet"]).weights
      #expect(weights.names == ["mid_block.attentions.0.query.weight"])
      #expect(weights.entry(weights.names[0])?.shape == [2, 2, 1, 1])
    }
  }
}
