import Adapters
import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing

/// Adapters in folders, files of other kinds, biases of LoRA, and checks before tensors are read.
@Suite struct FolderTests {
  private static let linear = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
  private static let biased = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"

  private func model(_ kind: ElementKind = .f32) throws -> ModelSource {
    let family = try #require(Family.named("sd-v1-4"))
    return try #require(try family.narrowed(kind: kind, vocabulary: 64))
  }

  private func filled(_ shape: Shape, _ value: Float = 0.5) -> StoredTensor {
    StoredTensor(shape: shape, floats: [Float](repeating: value, count: shape.count))
  }

  private func pair(
    _ module: String = linear, prefix: String = "unet.", value: Float = 0.5
  ) -> [(String, StoredTensor)] {
    [
      ("\(prefix)\(module).lora_A.weight", filled([2, 64], value)),
      ("\(prefix)\(module).lora_B.weight", filled([64, 2], value)),
    ]
  }

  private func write(_ tensors: [(String, StoredTensor)], _ path: String) throws {
    try writeSafetensors(MemorySource(location: "test", tensors), to: path)
  }

  private func weight(
    _ merge: AdapterMerge, _ model: ModelSource, _ name: String
  ) throws -> [Float] {
    try merge.weights(of: try #require(model["unet"]), as: nil).tensor(name).floats()
  }

  private func refusal(_ place: String, _ model: ModelSource, allowingUnused: Bool = false)
    -> String
  {
    do {
      _ = try AdapterMerge(
        [.init(path: place, scale: 1)], into: model, allowingUnused: allowingUnused)
      return "no error"
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: [
    ("pytorch_lora_weights.safetensors", "unet.", 1),
    ("adapter_model.safetensors", "base_model.model.", 2),
  ]) func foldersAreReadAsTheirFile(file: String, prefix: String, alphaOverRank: Float) throws {
    let model = try model()
    let name = Self.linear + ".weight"
    let base = try #require(model["unet"]).weights.tensor(name).floats()
    try withTemporaryFolder { folder in
      try write(pair(prefix: prefix), "\(folder)/\(file)")
      if alphaOverRank != 1 {
        try "{\"lora_alpha\": 4, \"r\": 2}".write(
          toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      }
      for place in [folder, folder + "/"] {
        let merge = try AdapterMerge([.init(path: place, scale: 1)], into: model)
        let found = try weight(merge, model, name)
        #expect(relativeError(found, base.map { $0 + 0.5 * alphaOverRank }) < 1e-6)
        #expect(merge.accounts.map(\.path) == [place])
      }
    }
  }

  /// Other methods of PEFT use the names of LoRA's tensors, and compute another change.
  @Test(arguments: ["LOHA", "IA3", "ADALORA", "LORA"]) func peftTypesDecideTheMethod(type: String)
    throws
  {
    let model = try model()
    try withTemporaryFolder { folder in
      try write(pair(prefix: "base_model.model."), folder + "/adapter_model.safetensors")
      try #"{"peft_type": "\#(type)", "lora_alpha": 2}"#.write(
        toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      let expected =
        type == "LORA"
        ? "no error"
        : type == "LOHA"
          ? "\(folder)/adapter_config.json: the peft_type is 'LOHA', but module "
            + "'base_model.model.\(Self.linear)' has the tensors of LoRA"
          : "\(folder)/adapter_config.json: the peft_type is '\(type)', expected LOHA, LOKR or LORA"
      #expect(refusal(folder, model) == expected)
    }
  }

  @Test func loHaOfPEFT() throws {
    let model = try model()
    let name = Self.linear + ".weight"
    let base = try #require(model["unet"]).weights.tensor(name).floats()
    try withTemporaryFolder { folder in
      let key = "base_model.model.\(Self.linear)."
      try write(
        [
          (key + "hada_w1_a", filled([64, 2])), (key + "hada_w1_b", filled([2, 64])),
          (key + "hada_w2_a", filled([64, 2])), (key + "hada_w2_b", filled([2, 64])),
        ], folder + "/adapter_model.safetensors")
      try #"{"peft_type": "LOHA", "r": 2, "alpha": 4}"#.write(
        toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      let merge = try AdapterMerge([.init(path: folder, scale: 1)], into: model)
      // Both products are 0.5, alpha over rank is 2.
      #expect(relativeError(try weight(merge, model, name), base.map { $0 + 0.5 }) < 1e-6)
    }
  }

  /// Files that users confuse with adapters, with what can be done.
  @Test(
    arguments: [
      (
        ["emb_params"], "a textual inversion, token embeddings for a text encoder",
        "keep it as it is and use it beside the converted model"
      ),
      (
        ["control_model.input_hint_block.0.weight", "control_model.time_embed.0.weight"],
        "a ControlNet, an addition to a model",
        "keep it as it is and use it beside the converted model"
      ),
      (
        ["lllite_unet_input_blocks_4_1_x.down.0.weight"],
        "a ControlNet-LLLite, an addition to a model",
        "keep it as it is and use it beside the converted model"
      ),
      (
        ["double_blocks.0.img_mlp.0.weight", "single_blocks.0.linear1.weight"],
        "Flux, a diffusion transformer without a U-Net", "name a file of LoRA or another adapter"
      ),
    ] as [([String], String, String)])
  func filesOfOtherKindsAreNamed(names: [String], kind: String, remedy: String) throws {
    let model = try model()
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try write(names.map { ($0, filled([1])) }, path)
      let error = #expect(throws: AdapterError.self) {
        try AdapterMerge([.init(path: path, scale: 1)], into: model, allowingUnused: true)
      }
      #expect(error?.description == "\(path): is \(kind), expected LoRA or another adapter")
      #expect(error?.remedy == .act(remedy))
    }
  }

  @Test func foldersWithNoneOrSeveralAreRefused() throws {
    let model = try model()
    try withTemporaryFolder { folder in
      #expect(
        refusal(folder, model) == "\(folder): holds nothing, expected one file of "
          + "pytorch_lora_weights.safetensors or adapter_model.safetensors")
      try write(pair(), folder + "/adapter_model.safetensors")
      try write(pair(), folder + "/pytorch_lora_weights.safetensors")
      #expect(
        refusal(folder, model).hasPrefix(
          "\(folder): holds adapter_model.safetensors and pytorch_lora_weights.safetensors, expected one file"
        ))
    }
  }

  /// PEFT's files of a text encoder do not name the component.
  @Test func aTextEncoderOfPEFT() throws {
    let model = try model()
    let module = "text_model.encoder.layers.1.self_attn.q_proj"
    let encoder = try #require(model["text_encoder"])
    let width = try #require(encoder.weights.entry(module + ".weight")?.shape[0])
    try withTemporaryFolder { folder in
      let key = "base_model.model." + module
      try write(
        [
          (key + ".lora_A.weight", filled([2, width])),
          (key + ".lora_B.weight", filled([width, 2])),
        ],
        folder + "/adapter_model.safetensors")
      let merge = try AdapterMerge([.init(path: folder, scale: 1)], into: model)
      #expect(merge.accounts.map(\.merged) == [["text_encoder": 1]])
    }
  }

  /// PEFT: `base.bias += lora_B.bias * scaling`.
  @Test func biasesOfLoRA() throws {
    let model = try model()
    let base = try #require(model["unet"]).weights.tensor(Self.biased + ".bias").floats()
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let bias = ("unet.\(Self.biased).lora_B.bias", filled([64], 3))
      let alpha = ("unet.\(Self.biased).alpha", filled([], 4))
      try write(pair(Self.biased) + [bias, alpha], path)
      let merge = try AdapterMerge([.init(path: path, scale: 0.5)], into: model)
      // scale 0.5, alpha 4, rank 2.
      #expect(
        relativeError(try weight(merge, model, Self.biased + ".bias"), base.map { $0 + 3 }) < 1e-6)

      let lone = "unet.\(Self.linear).lora_B.bias"
      try write(pair() + [(lone, filled([64]))], folder + "/b.safetensors")
      #expect(
        refusal(folder + "/b.safetensors", model)
          == "\(folder)/b.safetensors: changes the bias of 1 layer that has none in sd-v1-4 (random): "
          + lone)
      #expect(refusal(folder + "/b.safetensors", model, allowingUnused: true) == "no error")

      try write(pair(Self.biased) + [(bias.0, filled([63]))], folder + "/c.safetensors")
      #expect(
        refusal(folder + "/c.safetensors", model)
          == "\(folder)/c.safetensors: tensor '\(bias.0)' is [63], expected [64]")
    }
  }

  static let misfits: [[(String, Shape)]] = [
    [("lora_A.weight", [2, 63]), ("lora_B.weight", [64, 2])],
    [("lora_A.weight", [2, 64]), ("lora_B.weight", [63, 2])],
    [("diff", [64, 63])],
    [
      ("hada_w1_a", [64, 2]), ("hada_w1_b", [2, 64]), ("hada_w2_a", [64, 2]),
      ("hada_w2_b", [3, 64]),
    ],
    [("lora_down.weight", [2, 64]), ("lora_up.weight", [64, 2]), ("lora_mid.weight", [2, 3])],
    // The numbers of elements would fit.
    [("lora_down.weight", [4, 192]), ("lora_up.weight", [192, 4])],
    [("lora_down.weight", [64, 2]), ("lora_up.weight", [64, 2])],
    [("lora_down.weight", [2, 8, 8]), ("lora_up.weight", [64, 2])],
    [("diff", [32, 128])],
    [("lokr_w1", [3, 2]), ("lokr_w2", [16, 32])],
    [("lokr_w1", [4, 2]), ("lokr_w2", [16, 16])],
    [("lokr_w1", [4, 2]), ("lokr_w2_a", [16, 2]), ("lokr_w2_b", [3, 32])],
    [("lokr_w1_a", [4, 2]), ("lokr_w1_b", [3, 2]), ("lokr_w2", [16, 32])],
    [
      ("lora_down.weight", [2, 64]), ("lora_up.weight", [64, 2]), ("dora_scale", [63, 1]),
    ],
    [
      ("lora_A.weight", [2, 64]), ("lora_B.weight", [64, 2]), ("lora_magnitude_vector", [63]),
    ],
    [
      ("hada_w1_a", [128, 1]), ("hada_w1_b", [2, 64]), ("hada_w2_a", [64, 2]),
      ("hada_w2_b", [2, 64]),
    ],
    [("lora_down.weight", [2, 64]), ("lora_up.weight", [64, 2]), ("alpha", [2])],
  ]

  /// Shapes are checked when the adapter is opened, not when a tensor is merged.
  @Test(arguments: misfits) func shapesAreCheckedFirst(parts: [(String, Shape)]) throws {
    let model = try model()
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try write(parts.map { ("unet.\(Self.linear).\($0.0)", filled($0.1)) }, path)
      let sentence = refusal(path, model)
      #expect(sentence.contains(", expected [") || sentence.contains(", expected one number"))
    }
  }

  /// The error for a sum that the stored type cannot hold names the adapter.
  @Test func sumsThatOverflowNameTheAdapter() throws {
    let model = try model(.f16)
    let name = Self.linear + ".weight"
    try withTemporaryFolder { folder in
      let path = folder + "/loud.safetensors"
      try write(pair(value: 300), path)
      let merge = try AdapterMerge([.init(path: path, scale: 1)], into: model)
      let unet = try #require(model["unet"])
      let error = #expect(throws: AdapterError.self) {
        try merge.weights(of: unet, as: nil).tensor(name)
      }
      let said = error?.description ?? ""
      #expect(said.hasPrefix("\(path): merged, the model's tensor '\(name)' holds 1"), "\(said)")
      #expect(said.hasSuffix(", more than f16 can store"), "\(said)")
      #expect(
        error?.remedy
          == .either([
            .reduceScale(adapter: path), .choose(.type, ["f32", "bf16"]),
          ]))
      // Infinities are stored where they are allowed. Wider types hold the sum.
      let allowed = try merge.weights(of: unet, as: nil, allowsNonfinite: true).tensor(name)
      #expect(allowed.hasNonfinite)
      let wide = try merge.weights(of: unet, as: .f32)
      #expect(try !wide.tensor(name).hasNonfinite)
      // Whoever narrows them next names the file too.
      #expect(wide.location == "\(unet.weights.location) with \(path) merged")
    }
  }

  /// Merging a tensor checks for cancellation before each adapter's product.
  @Test func aCancelledTaskMergesNoTensor() async throws {
    let model = try model()
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("decant-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/a.safetensors"
    try write(pair(), path)
    let requests = [AdapterMerge.Request(path: path, scale: 1)]
    let merge = try AdapterMerge(requests, into: model)
    let weights = try merge.weights(of: try #require(model["unet"]), as: nil)
    await Task {
      withUnsafeCurrentTask { $0?.cancel() }
      #expect(throws: CancellationError.self) { try weights.tensor(Self.linear + ".weight") }
      #expect(throws: CancellationError.self) { try AdapterMerge(requests, into: model) }
      // A tensor that no adapter changes is only read.
      #expect(throws: Never.self) { try weights.tensor("conv_in.bias") }
    }.value
  }
}
