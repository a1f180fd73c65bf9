import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

struct ShardTests {
  private static func index(_ map: [(String, String)]) -> String {
    let members = map.map { "\"\($0.0)\": \"\($0.1)\"" }.joined(separator: ", ")
    return "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\(members)}}"
  }

  /// A folder whose U-Net is in two shards: `a` in the second, `b` and `c` in the first.
  ///
  /// - Parameters:
  ///   - spelling: the text before and after the shard's number in a file name.
  ///   - owners: the shard of each tensor in the index.
  private func sharded<Result>(
    index: String = "diffusion_pytorch_model.safetensors.index.json",
    spelling: (head: String, tail: String) = (
      "diffusion_pytorch_model-0000", "-of-00002.safetensors"
    ),
    owners: [(String, Int)] = [("a", 2), ("b", 1), ("c", 1)],
    _ body: (TinyFolder) throws -> Result
  ) throws -> Result {
    func file(_ shard: Int) -> String { "\(spelling.head)\(shard)\(spelling.tail)" }
    return try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(TinyFolder.stem + ".safetensors")
      try tiny.weights([("b", counting([2])), ("c", counting([1]))], "unet/" + file(1))
      try tiny.weights([("a", counting([2], from: 5))], "unet/" + file(2))
      try tiny.write(Self.index(owners.map { ($0.0, file($0.1)) }), "unet/" + index)
      return try body(tiny)
    }
  }

  static let first = "diffusion_pytorch_model-00001-of-00002.safetensors"
  static let second = "diffusion_pytorch_model-00002-of-00002.safetensors"
  static let indexFile = "model/unet/diffusion_pytorch_model.safetensors.index.json"

  @Test func shardsAreJoined() throws {
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

  /// Every form of variant shard names on the Hugging Face Hub.
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
    try sharded(index: index, spelling: (head, tail)) { tiny in
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

  @Test func shardedTextEncodersGetCanonicalNames() throws {
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
          == "\(Self.indexFile): shard '\(Self.second)' is listed and does not exist"
      )
    }
  }

  @Test func aTensorInTwoShardsIsNamed() throws {
    try sharded { tiny in
      try tiny.weights([("a", counting([2])), ("b", counting([2]))], "unet/" + Self.second)
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): tensor 'b' is in two shards, \(Self.first) and \(Self.second), expected one"
      )
    }
  }

  @Test func listedTensorsWithoutAShardAreRefused() throws {
    try sharded(owners: [("a", 2), ("b", 1), ("c", 1), ("d", 1)]) { tiny in
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): tensor 'd' is listed for '\(Self.first)', which does not hold it"
      )
    }
    try sharded(owners: [("a", 2), ("b", 2), ("c", 1)]) { tiny in
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): tensor 'b' is listed for '\(Self.second)', which does not hold it"
      )
    }
  }

  @Test func unlistedTensorsOfShardsAreRefused() throws {
    try sharded(owners: [("a", 2), ("b", 1)]) { tiny in
      #expect(
        tiny.refusal() == "\(Self.indexFile): tensor 'c' of shard '\(Self.first)' is not listed")
    }
  }

  @Test func shardsWithoutAnIndexAreNamed() throws {
    try sharded { tiny in
      try tiny.remove("unet/diffusion_pytorch_model.safetensors.index.json")
      #expect(
        tiny.refusal()
          == "model/unet: shard '\(Self.first)' has no index, expected 'diffusion_pytorch_model.safetensors.index.json' beside it"
      )
    }
  }

  @Test(arguments: [
    ("{}", "no object 'weight_map'"),
    (#"{"weight_map": []}"#, "no object 'weight_map'"),
    (#"{"weight_map": {}}"#, "'weight_map' is empty"),
    (#"{"weight_map": {"a": 1}}"#, "tensor 'a' maps to a number, expected a file name"),
    (#"{"weight_map": {"a": "../x"}}"#, "tensor 'a' maps to '../x', expected a file name"),
    (
      #"{"weight_map": {"a": "/etc/passwd"}}"#,
      "tensor 'a' maps to '/etc/passwd', expected a file name"
    ),
    (#"{"weight_map": {"a": ".."}}"#, "tensor 'a' maps to '..', expected a file name"),
    (#"{"weight_map": {"a": ""}}"#, "tensor 'a' maps to '', expected a file name"),
  ])
  func malformedIndexesAreRefused(index: String, found: String) throws {
    try sharded { tiny in
      try tiny.write(index, "unet/diffusion_pytorch_model.safetensors.index.json")
      #expect(
        tiny.refusal()
          == "\(Self.indexFile): \(found); a shard index holds 'weight_map', file names by tensor")
    }
  }

  @Test func damagedShardsAreRefused() throws {
    try sharded { tiny in
      let path = tiny.path + "/unet/" + Self.second
      let whole = try bytes(path)
      try write(Array(whole.dropLast()), to: path)
      #expect(
        tiny.refusal()
          == "model/unet/\(Self.second): the file ends after \(whole.count - 1) of \(whole.count) bytes, at tensor 'a'"
      )
    }
  }
}
