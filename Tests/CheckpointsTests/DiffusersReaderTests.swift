import Checkpoints
import Foundation
import Tensors
import TestSupport
import Testing

struct DiffusersReaderTests {
  @Test func readsAllThatTheIndexLists() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let model = try tiny.read()
      #expect(model.location == tiny.path && model.layout == "diffusers folder")
      #expect(model.components.map(\.name) == ["text_encoder", "unet", "vae"])
      #expect(
        model.components.map(\.className) == [
          "CLIPTextModel", "UNet2DConditionModel", "AutoencoderKL",
        ])
      #expect(model.index["_diffusers_version"]?.string == "0.30.0")
      #expect(model.scheduler?["steps_offset"]?.integer == 1)
      #expect(model.files.map(\.path) == ["tokenizer/merges.txt", "tokenizer/vocab.json"])
      #expect(model.file("tokenizer/merges.txt")?.array == [UInt8]("#version: 0.2\n".utf8))
      #expect(
        model.provenance == [
          "source": .string(tiny.path), "layout": "diffusers folder",
          "weights": [
            "text_encoder": ["text_encoder/model.safetensors"],
            "unet": ["unet/diffusion_pytorch_model.safetensors"],
            "vae": ["vae/diffusion_pytorch_model.safetensors"],
          ],
          "left_out": ["feature_extractor", "safety_checker"],
        ])
      for (component, tensors) in [("unet", TinyFolder.unet), ("vae", TinyFolder.vae)] {
        let weights = try #require(model[component]).weights
        #expect(Set(weights.names) == Set(tensors.map(\.0)))
        for (name, tensor) in tensors {
          #expect(try weights.tensor(name).widened() == tensor.widened())
        }
      }
    }
  }

  @Test func configsTellAbsentFromNull() throws {
    try withTemporaryFolder { folder in
      let config = try #require(try TinyFolder(in: folder).read()["unet"]).config
      #expect(config["time_cond_proj_dim"] == .some(.null))
      #expect(config["class_embed_type"] == nil)
    }
  }

  @Test func aSlashAtTheEndAndLinksWithinAreFine() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let weights = tiny.path + "/" + TinyFolder.stem + ".safetensors"
      try FileManager.default.moveItem(atPath: weights, toPath: folder + "/blob")
      try FileManager.default.createSymbolicLink(
        atPath: weights, withDestinationPath: "../../blob")
      try FileManager.default.moveItem(atPath: tiny.path + "/vae", toPath: folder + "/vae-blob")
      try FileManager.default.createSymbolicLink(
        atPath: tiny.path + "/vae", withDestinationPath: folder + "/vae-blob")
      let model = try Readers.all.read(tiny.path + "/")
      #expect(model.location == tiny.path)
      #expect(model["unet"]?.weights.names.count == 3)
    }
  }

  @Test func absentPartsNeedNoFolder() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.write(
        TinyFolder.index.replacingOccurrences(
          of: #"["diffusers", "PNDMScheduler"]"#, with: "[null, null]"
        ).replacingOccurrences(of: #"["transformers", "CLIPTokenizer"]"#, with: "[null, null]"),
        "model_index.json")
      try tiny.remove("scheduler")
      try tiny.remove("tokenizer")
      let model = try tiny.read()
      #expect(model.scheduler == nil && model.files.isEmpty)
    }
  }

  @Test func tokenizersInOneFileStaySo() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove("tokenizer/vocab.json")
      try tiny.remove("tokenizer/merges.txt")
      try tiny.write(#"{"version": "1.0"}"#, "tokenizer/tokenizer.json")
      try tiny.write("{}", "tokenizer/tokenizer_config.json")
      try tiny.write("of no use", "tokenizer/README.md")
      #expect(
        try tiny.read().files.map(\.path) == [
          "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
        ])
    }
  }

  @Test func aSecondTextEncoderIsReadWithItsTokenizer() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.write(
        TinyFolder.index.replacingOccurrences(
          of: #""tokenizer":"#,
          with: #"""
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
            "tokenizer_2": ["transformers", "CLIPTokenizer"], "tokenizer":
            """#), "model_index.json")
      try tiny.write("{}", "text_encoder_2/config.json")
      try tiny.weights(
        [("text_projection.weight", counting([2, 2]))], "text_encoder_2/model.safetensors")
      try tiny.write("{}", "tokenizer_2/tokenizer.json")
      let model = try tiny.read()
      #expect(model.components.map(\.name) == ["text_encoder", "text_encoder_2", "unet", "vae"])
      #expect(model["text_encoder_2"]?.weights.names == ["text_projection.weight"])
      #expect(model.files.map(\.path).last == "tokenizer_2/tokenizer.json")
    }
  }
}

struct VariantTests {
  private static let half = [("half", counting([1]))]

  private func names(
    _ files: [String], variant: String?, keepingPlain: Bool = true
  ) throws -> (names: [String]?, variants: JSONValue?) {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      if !keepingPlain { try tiny.remove(TinyFolder.stem + ".safetensors") }
      for file in files { try tiny.weights([(file, counting([1]))], "unet/" + file) }
      let model = try tiny.read(variant: variant)
      return (model["unet"]?.weights.names, model.provenance["variants"])
    }
  }

  static let fp16 = "diffusion_pytorch_model.fp16.safetensors"
  static let nonEMA = "diffusion_pytorch_model.non_ema.safetensors"

  @Test func thePlainOneIsReadUnlessAnotherIsAskedFor() throws {
    let plain = try names([Self.fp16, Self.nonEMA], variant: nil)
    #expect(plain.names?.count == 3 && plain.variants == nil)
    let chosen = try names([Self.fp16, Self.nonEMA], variant: "fp16")
    #expect(chosen.names == [Self.fp16] && chosen.variants == ["unet": "fp16"])
  }

  @Test func theOnlyOneIsReadAndNamed() throws {
    let only = try names([Self.fp16], variant: nil, keepingPlain: false)
    #expect(only.names == [Self.fp16] && only.variants == ["unet": "fp16"])
  }

  /// diffusers too reads the plain weights of a component that has no such variant.
  @Test func componentsWithoutTheVariantAreReadPlain() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(Self.half, "unet/" + Self.fp16)
      let model = try tiny.read(variant: "fp16")
      #expect(model["unet"]?.weights.names == ["half"])
      #expect(model["vae"]?.weights.names.count == 3)
      #expect(model.provenance["variants"] == ["unet": "fp16"])
    }
  }

  @Test func anotherVariantIsRefused() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(Self.half, "unet/" + Self.fp16)
      #expect(
        tiny.refusal(variant: "bf16")
          == "model: no variant 'bf16' of any component; there are text_encoder/model.safetensors, unet/diffusion_pytorch_model.fp16.safetensors, unet/diffusion_pytorch_model.safetensors and vae/diffusion_pytorch_model.safetensors"
      )
    }
  }

  @Test func aComponentWithOnlyAnotherVariantIsRefused() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(Self.half, "unet/" + Self.fp16)
      try tiny.remove("vae/diffusion_pytorch_model.safetensors")
      try tiny.weights(Self.half, "vae/diffusion_pytorch_model.bf16.safetensors")
      #expect(
        tiny.refusal(variant: "fp16")
          == "model: no variant 'fp16' of component 'vae'; there are diffusion_pytorch_model.bf16.safetensors"
      )
    }
  }

  @Test func twoVariantsWithoutAPlainOneAreRefused() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(TinyFolder.stem + ".safetensors")
      for file in [Self.fp16, Self.nonEMA] { try tiny.weights(Self.half, "unet/" + file) }
      #expect(
        tiny.refusal()
          == "model/unet: component 'unet' has no plain weights and more than one variant, fp16 and non_ema; choose one with --variant"
      )
    }
  }
}

struct ShardTests {
  private static func index(_ map: [(String, String)]) -> String {
    let members = map.map { "\"\($0.0)\": \"\($0.1)\"" }.joined(separator: ", ")
    return "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\(members)}}"
  }

  /// A folder whose U-Net lies in two shards, named as `spell` says.
  private func sharded<Result>(
    index: String = "diffusion_pytorch_model.safetensors.index.json",
    spell: (Int) -> String = { "diffusion_pytorch_model-0000\($0)-of-00002.safetensors" },
    map: ((String, String) -> [(String, String)])? = nil,
    _ body: (TinyFolder) throws -> Result
  ) throws -> Result {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(TinyFolder.stem + ".safetensors")
      try tiny.weights([("b", counting([2])), ("c", counting([1]))], "unet/" + spell(1))
      try tiny.weights([("a", counting([2], from: 5))], "unet/" + spell(2))
      let whole = [("a", spell(2)), ("b", spell(1)), ("c", spell(1))]
      try tiny.write(Self.index(map?(spell(1), spell(2)) ?? whole), "unet/" + index)
      return try body(tiny)
    }
  }

  static let first = "diffusion_pytorch_model-00001-of-00002.safetensors"
  static let second = "diffusion_pytorch_model-00002-of-00002.safetensors"
  static let indexFile = "model/unet/diffusion_pytorch_model.safetensors.index.json"

  @Test func makeOneSource() throws {
    try sharded { tiny in
      let model = try tiny.read()
      let weights = try #require(model["unet"]).weights
      #expect(weights.names == ["b", "c", "a"])
      #expect(weights.location.hasSuffix("diffusion_pytorch_model.safetensors.index.json"))
      #expect(try weights.tensor("a").floats() == [5, 6])
      #expect(weights.entry("b")?.shape == [2] && weights.entry("x") == nil)
      #expect(
        model.provenance["weights"]?.object?["unet"]
          == .array([.string("unet/" + Self.first), .string("unet/" + Self.second)]))
    }
  }

  /// Every spelling of variant shards that the hub has.
  @Test(arguments: [
    (
      "diffusion_pytorch_model.safetensors.index.fp16.json", "diffusion_pytorch_model.fp16-0000",
      "-of-00002.safetensors"
    ),
    (
      "diffusion_pytorch_model.safetensors.fp16.index.json", "diffusion_pytorch_model-0000",
      "-of-00002.fp16.safetensors"
    ),
    (
      "diffusion_pytorch_model.fp16.safetensors.index.json", "diffusion_pytorch_model.fp16-0000",
      "-of-00002.safetensors"
    ),
    (
      "diffusion_pytorch_model.safetensors.index.fp16.json", "diffusion_pytorch_model-0000",
      "-of-00002.fp16.safetensors"
    ),
  ])
  func variantsAreFound(index: String, head: String, tail: String) throws {
    try sharded(index: index, spell: { head + String($0) + tail }) { tiny in
      for variant in ["fp16", nil] {
        let model = try tiny.read(variant: variant)
        #expect(model["unet"]?.weights.names.count == 3)
        #expect(model.provenance["variants"] == ["unet": "fp16"])
      }
      try tiny.weights([("whole", counting([1]))], TinyFolder.stem + ".safetensors")
      #expect(try tiny.read()["unet"]?.weights.names == ["whole"])
      #expect(try tiny.read(variant: "fp16")["unet"]?.weights.names.count == 3)
    }
  }

  @Test func aSingleFileIsTakenBeforeShardsOfTheSameVariant() throws {
    try sharded { tiny in
      try tiny.weights([("whole", counting([1]))], TinyFolder.stem + ".safetensors")
      #expect(try tiny.read()["unet"]?.weights.names == ["whole"])
    }
  }

  @Test func theNamesOfShardedTextEncodersAreCanonical() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove("text_encoder/model.safetensors")
      try tiny.weights(
        [("final_layer_norm.bias", counting([1]))], "text_encoder/model-00001-of-00001.safetensors")
      try tiny.write(
        Self.index([("final_layer_norm.bias", "model-00001-of-00001.safetensors")]),
        "text_encoder/model.safetensors.index.json")
      #expect(
        try tiny.read()["text_encoder"]?.weights.names == ["text_model.final_layer_norm.bias"])
    }
  }

  @Test func aMissingShardIsNamed() throws {
    try sharded { tiny in
      try tiny.remove("unet/" + Self.second)
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): shard '\(Self.second)' is listed and does not exist; the download is probably incomplete"
      )
    }
  }

  @Test func aTensorInTwoShardsIsNamed() throws {
    try sharded { tiny in
      try tiny.weights([("a", counting([2])), ("b", counting([2]))], "unet/" + Self.second)
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): tensor 'b' lies in two shards, \(Self.first) and \(Self.second), one is expected"
      )
    }
  }

  @Test func aTensorOfTheIndexThatNoShardHoldsIsNamed() throws {
    try sharded(map: { [("a", $1), ("b", $0), ("c", $0), ("d", $0)] }) { tiny in
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): tensor 'd' is said to lie in '\(Self.first)', which does not hold it"
      )
    }
    try sharded(map: { [("a", $1), ("b", $1), ("c", $0)] }) { tiny in
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): tensor 'b' is said to lie in '\(Self.second)', which does not hold it"
      )
    }
  }

  @Test func aTensorOfAShardThatTheIndexLacksIsNamed() throws {
    try sharded(map: { [("a", $1), ("b", $0)] }) { tiny in
      #expect(
        tiny.refusal() == "\(Self.indexFile): tensor 'c' of shard '\(Self.first)' is not listed")
    }
  }

  @Test func shardsWithoutAnIndexAreNamed() throws {
    try sharded { tiny in
      try tiny.remove("unet/diffusion_pytorch_model.safetensors.index.json")
      #expect(
        tiny.refusal()
          == "model/unet: shard '\(Self.first)' has no index, 'diffusion_pytorch_model.safetensors.index.json' is expected beside it"
      )
    }
  }

  @Test(arguments: [
    ("{}", "no object 'weight_map'"),
    (#"{"weight_map": []}"#, "no object 'weight_map'"),
    (#"{"weight_map": {}}"#, "'weight_map' is empty"),
    (#"{"weight_map": {"a": 1}}"#, "tensor 'a' is mapped to a number, no file name"),
    (#"{"weight_map": {"a": "../x"}}"#, "tensor 'a' is mapped to '../x', no file name"),
    (
      #"{"weight_map": {"a": "/etc/passwd"}}"#,
      "tensor 'a' is mapped to '/etc/passwd', no file name"
    ),
    (#"{"weight_map": {"a": ".."}}"#, "tensor 'a' is mapped to '..', no file name"),
    (#"{"weight_map": {"a": ""}}"#, "tensor 'a' is mapped to '', no file name"),
  ])
  func malformedIndexesAreRefused(index: String, found: String) throws {
    try sharded { tiny in
      try tiny.write(index, "unet/diffusion_pytorch_model.safetensors.index.json")
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): \(found); a shard index holds 'weight_map', file names by tensor")
    }
  }

  @Test func aDamagedShardIsRefusedAsAFileIs() throws {
    try sharded { tiny in
      let path = tiny.path + "/unet/" + Self.second
      try write(Array(bytes(path).dropLast()), to: path)
      #expect(
        tiny.refusal()
          == "model/unet/\(Self.second): tensor 'a': ends at byte 8 of the data, the file holds only 7; it is probably an incomplete download, fetch it again"
      )
    }
  }
}
