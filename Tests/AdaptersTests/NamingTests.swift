import Adapters
import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing

/// One change under the names of every program gives the same bits.
@Suite struct NamingTests {
  /// A module of a model, and the names that files have for it. The first is kohya's.
  struct Case: Sendable, CustomTestStringConvertible {
    let family: String
    let component: String
    let module: String
    let names: [String]

    var testDescription: String { "\(family), \(module)" }
  }

  private static let linear = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
  private static let linearOfLDM = "input_blocks.4.1.transformer_blocks.0.attn1.to_q"
  private static let output = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
  private static let text = "text_model.encoder.layers.1.self_attn.q_proj"

  private static func flat(_ name: String) -> String {
    name.replacingOccurrences(of: ".", with: "_")
  }

  private static let uNetNames = [
    "lora_unet_" + flat(linear), "lora_unet_" + flat(linearOfLDM),
    // diffusers and PEFT.
    "unet." + linear, linear, "base_model.model." + linear, "base_model.model.unet." + linear,
    "unet.base_model.model." + linear,
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q",
    // OneTrainer, ComfyUI, SimpleTuner, the LDM layout.
    "unet." + linearOfLDM, "lora_unet." + linear, "diffusion_model." + linearOfLDM,
    "model.diffusion_model." + linearOfLDM, linearOfLDM, "lycoris_" + flat(linear),
    // PyTorch and dictionaries of trainers.
    "_orig_mod." + linear, "unet._orig_mod." + linear, "lora_unet__orig_mod_" + flat(linear),
    "unet.down_blocks.1._orig_mod.attentions.0.transformer_blocks.0.attn1.to_q",
    "module.unet." + linear, "unet.module." + linear, "module._orig_mod.unet." + linear,
    "state_dict.unet." + linear, "state_dict.module.unet." + linear, "model.unet." + linear,
    "lora_unet_" + flat(linear) + "__orig_mod",
  ]

  static let cases: [Case] = [
    Case(family: "sd-v1-4", component: "unet", module: linear, names: uNetNames),
    Case(family: "sdxl-base-1.0", component: "unet", module: linear, names: uNetNames),
    Case(
      family: "sd-v1-4", component: "unet", module: output,
      names: [
        "lora_unet_" + flat(output), "unet." + output,
        "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_out_0",
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out",
        "unet.middle_block.1.transformer_blocks.0.attn2.to_out.0",
        "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_out.0",
      ]),
    Case(
      family: "sd-v1-4", component: "text_encoder", module: text,
      names: [
        "lora_te_" + flat(text), "lora_te1_" + flat(text), "text_encoder." + text,
        "text_encoder.encoder.layers.1.self_attn.q_proj", "base_model.model." + text,
        "text_encoder.text_model.encoder.layers.1.self_attn.to_q",
        "text_encoders.clip_l.transformer." + text, "clip_l." + text, "lora_te." + text,
        "lora_te_encoder_layers_1_self_attn_q_proj",
      ]),
    Case(
      family: "sd-v2-1-base", component: "text_encoder", module: text,
      names: [
        "lora_te_" + flat(text), "text_encoder." + text, "clip_l." + text,
        "text_encoders.clip_h.transformer." + text,
      ]),
    Case(
      family: "sdxl-base-1.0", component: "text_encoder", module: text,
      names: [
        "lora_te1_" + flat(text), "text_encoder." + text, "clip_l." + text, "lora_te1." + text,
        "text_encoders.clip_l.transformer." + text,
      ]),
    Case(
      family: "sdxl-base-1.0", component: "text_encoder_2", module: text,
      names: [
        "lora_te2_" + flat(text), "text_encoder_2." + text, "clip_g." + text, "lora_te2." + text,
        "text_encoders.clip_g.transformer." + text,
        "text_encoder_2.encoder.layers.1.self_attn.q_proj",
      ]),
    Case(
      family: "sdxl-refiner-1.0", component: "text_encoder_2", module: text,
      names: [
        "lora_te_" + flat(text), "lora_te2_" + flat(text), "text_encoder_2." + text,
        "text_encoder." + text, "clip_g." + text, "text_encoders.clip_g.transformer." + text,
      ]),
  ]

  static let endings: [(down: String, up: String)] = [
    (".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight"),
    (".lora.down.weight", ".lora.up.weight"), ("_lora.down.weight", "_lora.up.weight"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    (".lora_A.default.weight", ".lora_B.default.weight"), (".lora_A", ".lora_B"),
    (".lora_A._orig_mod.weight", ".lora_B._orig_mod.weight"),
  ]

  private func model(_ family: String) throws -> ModelSource {
    let family = try #require(Family.named(family))
    return try #require(try family.narrowed(vocabulary: 64))
  }

  private func counting(_ shape: Shape) -> StoredTensor {
    StoredTensor(shape: shape, floats: (0..<shape.count).map { (1 + Float($0 % 7)) / 8 })
  }

  /// The tensors of a change of a square module, under a name.
  private func tensors(
    _ name: String, _ endings: (down: String, up: String), width: Int, alpha: Float = 1.5
  ) -> [(String, StoredTensor)] {
    [
      (name + endings.down, counting([3, width])), (name + endings.up, counting([width, 3])),
      (name + ".alpha", StoredTensor(shape: [], floats: [alpha])),
    ]
  }

  private func merged(
    _ tensors: [(String, StoredTensor)], into model: ModelSource, _ component: String,
    _ module: String
  ) throws -> [Float] {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try writeSafetensors(MemorySource(location: "test", tensors), to: path)
      let merge = try AdapterMerge([.init(path: path, scale: 0.5)], into: model)
      #expect(merge.accounts.map(\.merged) == [[component: 1]])
      #expect(merge.accounts.map(\.kinds) == [["LoRA": 1]])
      let part = try #require(model[component])
      return try merge.weights(of: part, as: nil).tensor(module + ".weight").floats()
    }
  }

  @Test(arguments: cases) func everyNameGivesTheSameBits(item: Case) throws {
    let model = try model(item.family)
    let part = try #require(model[item.component])
    let weight = try part.weights.tensor(item.module + ".weight")
    let width = weight.shape[0]
    #expect(weight.shape == [width, width])
    let first = try merged(
      tensors(item.names[0], Self.endings[0], width: width), into: model, item.component,
      item.module)
    // scale 0.5 · alpha 1.5 / rank 3 = 0.25.
    let (down, up) = (counting([3, width]).floats(), counting([width, 3]).floats())
    let sums = weight.floats().enumerated().map { index, number in
      let (row, column) = (index / width, index % width)
      return (0..<3).reduce(Double(number)) {
        $0 + 0.25 * Double(up[row * 3 + $1]) * Double(down[$1 * width + column])
      }
    }
    #expect(relativeError(first, sums.map { Float($0) }) < 1e-6)
    for name in item.names {
      for endings in Self.endings.prefix(2) {
        let found = try merged(
          tensors(name, endings, width: width), into: model, item.component, item.module)
        #expect(found == first, "\(name)\(endings.down)")
      }
    }
    for endings in Self.endings {
      let found = try merged(
        tensors(item.names[0], endings, width: width), into: model, item.component, item.module)
      #expect(found == first, "\(endings.down)")
    }
  }

  /// Tensors of one module under two names are one adapter if no part occurs twice.
  @Test func twoNamesOfOneModule() throws {
    let model = try model("sd-v1-4")
    let module = Self.linear
    let name = "unet." + module
    let weight = try #require(model["unet"]).weights.tensor(module + ".weight")
    let width = weight.shape[0]
    let whole = tensors(name, Self.endings[1], width: width)
    let split =
      whole.dropLast() + [("lora_unet_" + Self.flat(module) + ".alpha", whole[2].1)]
    #expect(
      try merged(Array(split), into: model, "unet", module)
        == merged(whole, into: model, "unet", module))

    let other = "lora_unet_\(Self.flat(module)).lora_down.weight"
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try writeSafetensors(
        MemorySource(location: "test", whole + [(other, whole[0].1)]), to: path)
      let error = #expect(throws: AdapterError.self) {
        try AdapterMerge([.init(path: path, scale: 1)], into: model)
      }
      let said = error?.description ?? ""
      #expect(said.hasPrefix("\(path): module '\(module)' has two tensors for the same part: "))
      #expect(said.contains(other.prefix(60)) && said.contains(whole[0].0), "\(said)")

      // The same part twice under one name.
      let twice = name + ".lora_down.weight"
      try writeSafetensors(
        MemorySource(location: "test", whole + [(twice, whole[0].1)]), to: path,
        replacing: true)
      let repeated = #expect(throws: AdapterError.self) {
        try AdapterMerge([.init(path: path, scale: 1)], into: model)
      }
      let told = repeated?.description ?? ""
      #expect(told.hasPrefix("\(path): module '\(name)' has two tensors for the same part: "))
    }
  }

  /// The component is shown by a name alone, without a model.
  @Test(arguments: cases) func namesShowTheirComponent(item: Case) throws {
    // A single text encoder is the first one in files.
    guard item.family != "sdxl-refiner-1.0" else { return }
    for name in item.names {
      try withTemporaryFolder { folder in
        let path = folder + "/a.safetensors"
        try writeSafetensors(
          MemorySource(location: "test", tensors(name, Self.endings[0], width: 8)), to: path)
        let facts = try AdapterDescription(at: path)
        #expect(facts.components.map(\.name) == [item.component], "\(name)")
      }
    }
  }

  /// What training code added to names is removed, and said.
  @Test func wrappersAreListedAsChanges() throws {
    let model = try model("sd-v1-4")
    let parts: [(String, StoredTensor)] = [
      (".lora_A.weight", counting([2, 64])), (".lora_B.weight", counting([64, 2])),
    ]
    for (prefix, removed) in [
      ("unet.", nil), ("base_model.model.unet.", "'base_model.model.' was"),
      ("module.unet._orig_mod.", "'_orig_mod' and 'module' were"),
      ("state_dict.unet.base_model.model.", "'base_model.model.' and 'state_dict.' were"),
      ("lora_unet__fsdp_wrapped_module_", "'_fsdp_wrapped_module' was"),
    ] as [(String, String?)] {
      try withTemporaryFolder { folder in
        let path = folder + "/a.safetensors"
        let isFlat = prefix.hasPrefix("lora_unet_")
        let module = isFlat ? Self.flat(Self.linear) : Self.linear
        try writeSafetensors(
          MemorySource(location: "test", parts.map { (prefix + module + $0.0, $0.1) }), to: path)
        let merge = try AdapterMerge([.init(path: path, scale: 1)], into: model)
        let changes = merge.accounts.flatMap(\.changes)
        let lines = changes.map(\.text).filter { $0.contains(" removed ") }
        #expect(
          lines
            == (removed.map {
              ["changed: \($0) removed from tensor names of a.safetensors"]
            } ?? []), "\(prefix)")
        // Merging was asked for.
        #expect(!changes.contains { $0.isUnexpected })
      }
    }
    // Wrappers around the layers of an adapter.
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try writeSafetensors(
        MemorySource(
          location: "test",
          parts.map {
            ("unet.\(Self.linear)" + $0.0.replacing(".weight", with: "._orig_mod.weight"), $0.1)
          }), to: path)
      let merge = try AdapterMerge([.init(path: path, scale: 1)], into: model)
      #expect(merge.accounts.map(\.wrappers) == [["_orig_mod"]])
    }
  }

  // MARK: - Adapters of other models

  private func refusal(
    _ shapes: [(String, Shape)], _ family: String, allowingUnused: Bool = false
  ) throws -> String {
    let model = try model(family)
    return try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try writeSafetensors(
        MemorySource(location: "test", shapes.map { ($0.0, counting($0.1)) }), to: path)
      do {
        _ = try AdapterMerge(
          [.init(path: path, scale: 1)], into: model, allowingUnused: allowingUnused)
        return "no error"
      } catch {
        return "\(error)".replacingOccurrences(of: folder + "/", with: "")
      }
    }
  }

  /// Names that the model lacks, and shapes that differ.
  @Test(arguments: [
    (
      "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k", 1280, 2048,
      "Stable Diffusion XL, ", true
    ),
    (
      "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 640, 1024,
      "Stable Diffusion 2.1 base, ", false
    ),
  ]) func theFamilyIsNamed(
    module: String, rows: Int, columns: Int, family: String, isAbsent: Bool
  ) throws {
    for name in ["unet." + module, "lora_unet_" + Self.flat(module)] {
      let sentence = try refusal(
        [
          (name + ".lora_down.weight", [2, columns]),
          (name + ".lora_up.weight", [rows, 2]),
        ], "sd-v1-4")
      #expect(
        sentence.hasPrefix("a.safetensors: was made for \(family)")
          && sentence.hasSuffix(
            "; sd-v1-4 (random) is Stable Diffusion 1.x of other sizes and fits 0 of 1 module: "
              + (isAbsent
                ? "it lacks \(name)"
                : "tensor '\(name).lora_up.weight' is [640, 2], expected [64, rank]")),
        "\(sentence)")
    }
  }

  /// A child of Stable Diffusion 1 lacks blocks that the adapter changes.
  @Test func absentModulesOfAChildAreNamed() throws {
    let family = try #require(Family.named("bk-sdm-tiny"))
    let child = try #require(try family.synthesize(seed: 1, kind: .f16))
    let absent = (0..<2).map {
      "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn\($0 + 1)_to_q"
    }
    let common = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let pairs = ([(common, 320)] + absent.map { ($0, 1280) }).flatMap { name, width in
        tensors(name, Self.endings[0], width: width)
      }
      try writeSafetensors(MemorySource(location: "test", pairs), to: path)
      let error = #expect(throws: AdapterError.self) {
        try AdapterMerge([.init(path: path, scale: 1)], into: child)
      }
      let sentence = error?.description ?? ""
      #expect(
        sentence.hasPrefix("\(path): was made for Stable Diffusion 1.")
          && sentence.hasSuffix(
            " is BK-SDM Tiny and fits 1 of 3 modules: it lacks \(absent[0]) and \(absent[1])"),
        "\(sentence)")
      let merge = try AdapterMerge(
        [.init(path: path, scale: 1)], into: child, allowingUnused: true)
      #expect(merge.accounts.map(\.unused) == [absent])
    }
  }

  /// Adapters of models without a U-Net are named as what they are.
  @Test(arguments: [
    ("lora_unet_double_blocks_0_img_attn_proj", "a diffusion transformer such as Flux"),
    ("transformer.single_transformer_blocks.0.attn.to_q", "a diffusion transformer such as Flux"),
    ("transformer.transformer_blocks.0.attn.to_q", "a diffusion transformer"),
    ("diffusion_model.joint_blocks.0.x_block.attn.qkv", "Stable Diffusion 3, a diffusion"),
    ("lora_prior_unet_down_blocks_0_1_attention_0", "Stable Cascade"),
  ]) func otherKindsOfModelsAreNamed(name: String, kind: String) throws {
    for allowing in [false, true] {
      let sentence = try refusal(
        [(name + ".lora_down.weight", [2, 64]), (name + ".lora_up.weight", [64, 2])], "sd-v1-4",
        allowingUnused: allowing)
      #expect(
        sentence.hasPrefix("a.safetensors: was made for \(kind)")
          && sentence.hasSuffix("; sd-v1-4 (random) has none of its modules: \(name)"),
        "\(sentence)")
    }
  }
}
