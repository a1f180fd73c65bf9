import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Every naming of the autoencoder's attention gives the same weights, in files and in folders.
struct AttentionNameTests {
  /// The names of norm, queries, keys, values and output.
  static let namings = [
    ["norm", "q", "k", "v", "proj_out"], ["group_norm", "to_q", "to_k", "to_v", "to_out.0"],
    ["group_norm", "query", "key", "value", "proj_attn"],
    ["norm", "to_to_q", "to_to_k", "to_to_v", "to_out.0"],
    ["norm", "to_q", "to_k", "to_v", "to_out"],
  ]
  static let names = namings[1]
  private static let width = 4

  /// Shapes in which a matrix and a vector occur.
  static let forms: [(matrix: Shape, vector: Shape)] = [
    ([width, width], [width]), ([width, width, 1, 1], [width]),
    ([width, width, 1, 1], [width, 1, 1]), ([width, width, 1, 1], [1, width, 1, 1]),
  ]

  /// The tensors of one attention: each module's weight and bias, with numbers of its own.
  private func attention(
    _ place: String, _ naming: [String], _ form: (matrix: Shape, vector: Shape)
  ) -> [(String, StoredTensor)] {
    naming.enumerated().flatMap { index, name in
      [
        (
          "\(place).\(name).weight",
          counting(index == 0 ? form.vector : form.matrix, from: 100 * index)
        ),
        ("\(place).\(name).bias", counting(form.vector, from: 100 * index + 50)),
      ]
    }
  }

  private func expectAttention(_ weights: any WeightSource, half: String) throws {
    for (index, name) in Self.names.enumerated() {
      let module = "\(half).mid_block.attentions.0.\(name)"
      let matrix: Shape = index == 0 ? [Self.width] : [Self.width, Self.width]
      #expect(weights.entry(module + ".weight")?.shape == matrix)
      #expect(weights.entry(module + ".bias")?.shape == [Self.width])
      #expect(
        try weights.tensor(module + ".weight").floats()
          == counting(matrix, from: 100 * index).floats())
      #expect(
        try weights.tensor(module + ".bias").floats()
          == counting([Self.width], from: 100 * index + 50).floats())
    }
  }

  @Test(arguments: namings.indices, forms.indices)
  func inSingleFiles(naming: Int, form: Int) throws {
    let conv: Shape = [4, 4, 3, 3]
    for (prefix, place) in [
      ("first_stage_model.", "encoder.mid.attn_1"), ("", "encoder.mid.attn_1"),
      ("", "encoder.mid_block.attentions.0"),
    ] {
      let tensors =
        [
          ("encoder.conv_in.weight", counting([4, 3, 3, 3])),
          ("decoder.conv_in.weight", counting(conv)),
          ("encoder.down.0.block.0.conv1.weight", counting(conv)),
          ("decoder.up.0.block.0.conv1.weight", counting(conv)),
        ] + attention(place, Self.namings[naming], Self.forms[form])
      let model = try SingleFileReader().model(
        of: Archive(
          weights: MemorySource(location: "f", tensors.map { (prefix + $0.0, $0.1) }),
          kind: "safetensors file"), path: "f")
      let vae = try #require(model["vae"])
      try expectAttention(vae.weights, half: "encoder")
      #expect(vae.config["mid_block_add_attention"] == nil)
      #expect(vae.weights.names.count == tensors.count)
    }
  }

  @Test(arguments: namings.indices, forms.indices)
  func inFolders(naming: Int, form: Int) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(
        attention("decoder.mid_block.attentions.0", Self.namings[naming], Self.forms[form]),
        "vae/diffusion_pytorch_model.safetensors")
      let weights = try #require(try tiny.read()["vae"]).weights
      try expectAttention(weights, half: "decoder")
      #expect(weights.names.count == 10)
    }
  }

  /// Convolutions that are not part of an attention keep their shape.
  @Test func otherKernelsStay() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(
        [
          ("post_quant_conv.weight", counting([2, 2, 1, 1])),
          ("encoder.down_blocks.0.resnets.0.conv_shortcut.weight", counting([2, 2, 1, 1])),
          ("decoder.mid_block.attentions.0.to_q.weight", counting([2, 2, 3, 3])),
        ], "vae/diffusion_pytorch_model.safetensors")
      let weights = try #require(try tiny.read()["vae"]).weights
      #expect(weights.entries.map(\.shape.rank) == [4, 4, 4])
    }
  }
}

/// Which text encoder a file of one encoder holds.
struct TextEncoderRoleTests {
  /// A CLIP text encoder in transformers' names.
  private func read(
    width: Int, prefix: String, projection: String?
  ) throws -> ModelSource {
    var tensors: [(String, Shape)] = [
      ("text_model.embeddings.token_embedding.weight", [5, width]),
      ("text_model.embeddings.position_embedding.weight", [3, width]),
      ("text_model.encoder.layers.0.mlp.fc1.weight", [8, width]),
    ]
    if let projection { tensors.append((projection, [width, width])) }
    return try SingleFileReader().model(
      of: Archive(
        weights: MemorySource(
          location: "f",
          tensors.map {
            (
              prefix + $0.0,
              StoredTensor(shape: $0.1, floats: [Float](repeating: 0, count: $0.1.count))
            )
          }), kind: "safetensors file"), path: "f")
  }

  static let projections = [
    "text_projection.weight", "text_projection", "text_model.text_projection",
  ]

  /// CLIP-L has a projection in files of some programs, and no use for it.
  @Test(arguments: [
    (768, ""), (768, "cond_stage_model.transformer."),
    (768, "conditioner.embedders.0.transformer."),
    (768, "text_encoder."), (1024, ""), (8, "cond_stage_model.transformer."),
    (8, "text_encoder."), (8, "conditioner.embedders.0.transformer."),
  ])
  func theFirstDoesNotUseItsProjection(width: Int, prefix: String) throws {
    for projection in Self.projections.map(Optional.some) + [nil] {
      let model = try read(width: width, prefix: prefix, projection: projection)
      #expect(model.components.map(\.name) == ["text_encoder"])
      let text = try #require(model["text_encoder"])
      #expect(text.className == "CLIPTextModel")
      #expect(text.config["projection_dim"] == .integer(width))
      #expect(text.config["hidden_act"] == (width == 1024 ? "gelu" : "quick_gelu"))
    }
  }

  @Test(arguments: [
    (1280, ""), (1280, "conditioner.embedders.1.transformer."), (8, "text_encoder_2."), (8, ""),
    (8, "cond_stage_model.1.transformer."),
  ])
  func theSecondUsesIt(width: Int, prefix: String) throws {
    for projection in Self.projections {
      let model = try read(width: width, prefix: prefix, projection: projection)
      #expect(model.components.map(\.name) == ["text_encoder_2"])
      #expect(model["text_encoder_2"]?.className == "CLIPTextModelWithProjection")
      #expect(model["text_encoder_2"]?.config["hidden_act"] == "gelu")
    }
  }

  /// Another tensor of stacked queries, keys and values belongs to their layers.
  @Test func scalesOfAStackStayWithTheLayer() throws {
    let prefix = "conditioner.embedders.1.model."
    let layer = "transformer.resblocks.0."
    let tensors: [(String, Shape)] = [
      ("token_embedding.weight", [5, 2]), ("positional_embedding", [3, 2]),
      (layer + "attn.in_proj_weight", [6, 2]), (layer + "attn.in_proj_weight_scale", [3]),
      (layer + "mlp.c_fc.weight", [8, 2]),
    ]
    let model = try SingleFileReader().model(
      of: Archive(
        weights: MemorySource(
          location: "f", tensors.map { (prefix + $0.0, counting($0.1)) }),
        kind: "safetensors file"), path: "f")
    let weights = try #require(model["text_encoder_2"]).weights
    let name = "text_model.encoder.layers.0.self_attn.q_proj._weight_scale"
    #expect(weights.names.contains(name))
    #expect(weights.storedName(name) == prefix + layer + "attn.in_proj_weight_scale")
  }
}
