import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

struct DiffusersShardWritingTests {
  /// Writes the miniature with options, and passes its folder to `body`.
  private func written(
    _ options: WriteOptions, _ body: (_ out: String, _ model: ModelSource) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      try DiffusersFolderWriter().write(model, to: folder + "/out", options: options)
      try body(folder + "/out", model)
    }
  }

  private func sameWeights(_ left: ModelSource, _ right: ModelSource) throws {
    #expect(left.components.map(\.name) == right.components.map(\.name))
    for (left, right) in zip(left.components, right.components) {
      #expect(Set(left.weights.names) == Set(right.weights.names))
      for name in left.weights.names {
        #expect(left.weights.entry(name) == right.weights.entry(name))
        #expect(try left.weights.tensor(name).floats() == right.weights.tensor(name).floats())
      }
    }
  }

  @Test func fileNamesContainTheVariant() throws {
    try written(WriteOptions(variant: "fp16")) { out, model in
      #expect(
        contents(out + "/unet") == ["config.json", "diffusion_pytorch_model.fp16.safetensors"])
      #expect(contents(out + "/text_encoder") == ["config.json", "model.fp16.safetensors"])
      let copy = try DiffusersFolderReader().read(out, options: ReadOptions(variant: "fp16"))
      try sameWeights(model, copy)
      #expect(copy.provenance["variants"]?.object?["unet"] == "fp16")
    }
  }

  /// 18 + 2 + 4 numbers of 4 bytes: conv_in exceeds 40 bytes, the others share a file.
  @Test func shardsKeepToTheSizeLimit() throws {
    try written(WriteOptions(maxShardSize: 40)) { out, model in
      let names = (1...2).map { "diffusion_pytorch_model-0000\($0)-of-00002.safetensors" }
      #expect(
        contents(out + "/unet")
          == ["config.json"] + names + ["diffusion_pytorch_model.safetensors.index.json"])
      #expect(
        try text(out + "/unet/diffusion_pytorch_model.safetensors.index.json") == """
          {
            "metadata": {
              "total_size": 96
            },
            "weight_map": {
              "conv_in.bias": "\(names[0])",
              "conv_in.weight": "\(names[1])",
              "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight": "\(names[0])"
            }
          }

          """)
      #expect(
        try SafetensorsFile(path: out + "/unet/" + names[1]).names == ["conv_in.weight"])
      // The VAE's 16 + 8 + 16 bytes fit one file, the encoder's 32 + 8 + 8 do not.
      #expect(contents(out + "/vae") == ["config.json", "diffusion_pytorch_model.safetensors"])
      #expect(contents(out + "/text_encoder").count == 4)
      try sameWeights(model, try DiffusersFolderReader().read(out, options: ReadOptions()))
    }
  }

  @Test func shardsOfEveryLimitAreReadBack() throws {
    for limit in 1...100 {
      try written(WriteOptions(variant: limit % 2 == 0 ? "fp16" : nil, maxShardSize: limit)) {
        out, model in
        try sameWeights(model, try DiffusersFolderReader().read(out, options: ReadOptions()))
        for file in contents(out + "/unet") where file.hasSuffix(".safetensors") {
          let shard = try SafetensorsFile(path: out + "/unet/" + file)
          #expect(shard.byteCount <= limit || shard.names.count == 1)
        }
      }
    }
  }

  /// The names of diffusers 0.42 and transformers 5.23.
  @Test func shardNamesContainTheVariant() throws {
    try written(WriteOptions(variant: "fp16", maxShardSize: 40)) { out, _ in
      #expect(
        contents(out + "/unet") == [
          "config.json", "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
          "diffusion_pytorch_model.fp16-00002-of-00002.safetensors",
          "diffusion_pytorch_model.safetensors.index.fp16.json",
        ])
      #expect(
        contents(out + "/text_encoder") == [
          "config.json", "model.fp16-00001-of-00002.safetensors",
          "model.fp16-00002-of-00002.safetensors", "model.safetensors.index.fp16.json",
        ])
    }
  }

  @Test func progressCountsEveryShard() throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      let total = model.components.reduce(0) { $0 + $1.weights.byteCount }
      var seen: [Int] = []
      try DiffusersFolderWriter().write(
        model, to: folder + "/out", options: WriteOptions(maxShardSize: 20)
      ) { done, of in
        seen.append(done)
        #expect(of == total)
      }
      #expect(seen == seen.sorted() && seen.last == total)
    }
  }

  @Test(arguments: ["", "a.b", "a/b", "-00001-of-00002", "fp 16"])
  func invalidVariantsAreRefused(variant: String) throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      #expect(
        message {
          try DiffusersFolderWriter().write(
            model, to: folder + "/out", options: WriteOptions(variant: variant))
        }
          == "\(folder)/out: variant '\(variant)' is invalid; expected letters, digits, '_' and '-', as in fp16"
      )
      #expect(contents(folder) == ["model"])
    }
  }

  @Test func aShardSizeOfZeroIsRefused() throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      #expect(
        message {
          try DiffusersFolderWriter().write(
            model, to: folder + "/out", options: WriteOptions(maxShardSize: 0))
        }
          == "\(folder)/out: files of at most 0 bytes cannot hold weights")
    }
  }
}
