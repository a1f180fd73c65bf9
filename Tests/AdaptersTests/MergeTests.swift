import Adapters
import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing

/// Adapters merged into a narrow model and compared with explicit sums.
@Suite struct MergeTests {
  private static let linear = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
  private static let convolution = "down_blocks.0.resnets.0.conv1"

  private func model(_ family: String = "sd-v1-4", _ kind: ElementKind = .f32) throws -> ModelSource
  {
    let family = try #require(Family.named(family))
    return try #require(try family.narrowed(kind: kind, vocabulary: 64))
  }

  private func counting(_ shape: Shape, from start: Float = 1) -> StoredTensor {
    StoredTensor(shape: shape, floats: (0..<shape.count).map { (start + Float($0 % 7)) / 8 })
  }

  private func scalar(_ value: Float) -> StoredTensor {
    StoredTensor(shape: [], floats: [value])
  }

  private func merged(
    _ tensors: [(String, StoredTensor)], into model: ModelSource, scale: Double = 1,
    allowingUnused: Bool = false, as kind: ElementKind? = nil, component: String = "unet"
  ) throws -> any WeightSource {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try writeSafetensors(MemorySource(location: "test", tensors), to: path)
      let merge = try AdapterMerge(
        [.init(path: path, scale: scale)], into: model, allowingUnused: allowingUnused)
      let part = try #require(model[component])
      // The numbers are asked for while the file is there.
      let source = try merge.weights(of: part, as: kind)
      return MemorySource(
        location: "merged", try source.names.map { ($0, try source.tensor($0)) })
    }
  }

  /// The message of the error, without the path of the folder.
  private func refusal(
    _ tensors: [(String, StoredTensor)], into model: ModelSource
  ) throws -> String {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try writeSafetensors(MemorySource(location: "test", tensors), to: path)
      do {
        let merge = try AdapterMerge([.init(path: path, scale: 1)], into: model)
        for component in model.components {
          let source = try merge.weights(of: component, as: nil)
          for name in source.names { _ = try source.tensor(name) }
        }
        return "no error"
      } catch {
        return "\(error)".replacingOccurrences(of: folder + "/", with: "")
      }
    }
  }

  /// `weight + factor * up · down`, in float64.
  private func expected(
    _ weight: StoredTensor, _ up: StoredTensor, _ down: StoredTensor, factor: Double
  ) -> [Float] {
    let (rows, columns) = (weight.shape.rows, weight.shape.rowLength)
    let rank = up.shape.count / rows
    let (a, b, w) = (up.floats(), down.floats(), weight.floats())
    return (0..<rows * columns).map { index in
      let (row, column) = (index / columns, index % columns)
      let sum = (0..<rank).reduce(0.0) {
        $0 + Double(a[row * rank + $1]) * Double(b[$1 * columns + column])
      }
      return Float(Double(w[index]) + factor * sum)
    }
  }

  private func expect(_ found: [Float], _ expected: [Float]) {
    #expect(relativeError(found, expected) < 1e-6)
  }

  @Test func convolutionsAndAlphas() throws {
    let model = try model()
    let key = "lora_unet_down_blocks_0_resnets_0_conv1"
    let weight = try #require(try model["unet"]?.weights.tensor(Self.convolution + ".weight"))
    let (a, b) = (counting([4, 32, 3, 3]), counting([32, 4, 1, 1]))
    let found = try merged(
      [(key + ".lora_down.weight", a), (key + ".lora_up.weight", b), (key + ".alpha", scalar(2))],
      into: model, scale: -1)
    expect(
      try found.tensor(Self.convolution + ".weight").floats(),
      expected(weight, b, a, factor: -0.5))
  }

  /// The projections around SD 1's attentions are 1x1 convolutions, which some files store as
  /// matrices.
  @Test func matricesApplyTo1x1Convolutions() throws {
    let model = try model()
    let name = "down_blocks.0.attentions.0.proj_in"
    let weight = try #require(try model["unet"]?.weights.tensor(name + ".weight"))
    #expect(weight.shape == [32, 32, 1, 1])
    let (a, b) = (counting([2, 32]), counting([32, 2]))
    let found = try merged(
      [("unet.\(name).lora_A.weight", a), ("unet.\(name).lora_B.weight", b)], into: model)
    expect(try found.tensor(name + ".weight").floats(), expected(weight, b, a, factor: 1))
  }

  /// LyCORIS's Tucker form: `sum_ij up[o, i] mid[i, j, k] down[j, c]`.
  @Test func tuckerForm() throws {
    let model = try model()
    let key = "lora_unet_down_blocks_0_resnets_0_conv1"
    let weight = try #require(try model["unet"]?.weights.tensor(Self.convolution + ".weight"))
    let (down, up, mid) = (
      counting([2, 32, 1, 1]), counting([32, 2, 1, 1]), counting([2, 2, 3, 3], from: 2)
    )
    let found = try merged(
      [
        (key + ".lora_down.weight", down), (key + ".lora_up.weight", up),
        (key + ".lora_mid.weight", mid),
      ], into: model)
    let (d, u, m) = (down.floats(), up.floats(), mid.floats())
    var expected = weight.floats()
    for o in 0..<32 {
      for c in 0..<32 {
        for k in 0..<9 {
          for i in 0..<2 {
            for j in 0..<2 {
              expected[(o * 32 + c) * 9 + k] +=
                u[o * 2 + i] * m[(i * 2 + j) * 9 + k] * d[j * 32 + c]
            }
          }
        }
      }
    }
    expect(try found.tensor(Self.convolution + ".weight").floats(), expected)
  }

  @Test func hadamardProducts() throws {
    let model = try model()
    let key = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    let weight = try #require(try model["unet"]?.weights.tensor(Self.linear + ".weight"))
    let parts = [
      counting([64, 2]), counting([2, 64]), counting([64, 2], from: 2), counting([2, 64]),
    ]
    let names = ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"]
    let found = try merged(
      zip(names, parts).map { ("\(key).\($0)", $1) } + [(key + ".alpha", scalar(1))], into: model)
    func product(_ a: StoredTensor, _ b: StoredTensor) -> [Float] {
      expected(
        StoredTensor(shape: [64, 64], floats: .init(repeating: 0, count: 4096)), a, b, factor: 1)
    }
    let (one, two) = (product(parts[0], parts[1]), product(parts[2], parts[3]))
    let sums = weight.floats().indices.map { weight.floats()[$0] + 0.5 * one[$0] * two[$0] }
    expect(try found.tensor(Self.linear + ".weight").floats(), sums)
  }

  @Test func wholeDifferencesAndBiases() throws {
    let model = try model()
    let key = "lora_unet_down_blocks_0_resnets_0_conv1"
    let base = try #require(model["unet"]?.weights)
    let (weight, bias) = (counting([32, 32, 3, 3]), counting([32]))
    let found = try merged(
      [(key + ".diff", weight), (key + ".diff_b", bias)], into: model, scale: 2)
    for (part, change) in [(".weight", weight), (".bias", bias)] {
      let old = try base.tensor(Self.convolution + part).floats()
      expect(
        try found.tensor(Self.convolution + part).floats(),
        zip(old, change.floats()).map { $0 + 2 * $1 })
    }
  }

  @Test func sumsAreFloat32AndStoredAsRequested() throws {
    let model = try model("sd-v1-4", .f16)
    let (a, b) = (counting([2, 64]), counting([64, 2]))
    let tensors = [
      ("unet.\(Self.linear).lora_A.weight", a), ("unet.\(Self.linear).lora_B.weight", b),
    ]
    let name = Self.linear + ".weight"
    let weight = try #require(try model["unet"]?.weights.tensor(name))
    let wide = try merged(tensors, into: model, as: .f32).tensor(name)
    #expect(wide.encoding == .plain(.f32))
    expect(wide.floats(), expected(weight, b, a, factor: 1))
    let narrow = try merged(tensors, into: model).tensor(name)
    #expect(narrow.encoding == .plain(.f16))
    #expect(narrow.floats() == wide.floats().map { Float(Float16($0)) })
  }

  @Test func severalAdaptersAddUp() throws {
    let model = try model()
    let (a, b) = (counting([2, 64]), counting([64, 2]))
    let tensors = [
      ("unet.\(Self.linear).lora_A.weight", a), ("unet.\(Self.linear).lora_B.weight", b),
    ]
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try writeSafetensors(MemorySource(location: "test", tensors), to: path)
      let merge = try AdapterMerge(
        [.init(path: path, scale: 0.25), .init(path: path, scale: 0.5)], into: model)
      let unet = try #require(model["unet"])
      let found = try merge.weights(of: unet, as: nil).tensor(Self.linear + ".weight")
      let weight = try unet.weights.tensor(Self.linear + ".weight")
      expect(found.floats(), expected(weight, b, a, factor: 0.75))
      #expect(merge.accounts.map(\.merged) == [["unet": 1], ["unet": 1]])
    }
  }

  // MARK: - Refusals

  @Test func modulesThatTheModelLacksAreRefusedUnlessAllowed() throws {
    let model = try model()
    let (a, b) = (counting([2, 64]), counting([64, 2]))
    let tensors = [
      ("unet.\(Self.linear).lora_A.weight", a), ("unet.\(Self.linear).lora_B.weight", b),
      ("unet.down_blocks.9.x.lora_A.weight", a), ("unet.down_blocks.9.x.lora_B.weight", b),
    ]
    #expect(
      try refusal(tensors, into: model)
        == "a.safetensors: adapts 1 module that sd-v1-4 (random) does not have: "
        + "unet.down_blocks.9.x; it was made for another model")
    let found = try merged(tensors, into: model, allowingUnused: true)
    #expect(
      try found.tensor(Self.linear + ".weight").floats()
        != model["unet"]?.weights.tensor(Self.linear + ".weight").floats())
  }

  @Test func unknownTensorsAreRefusedUnlessAllowed() throws {
    let model = try model()
    let (a, b) = (counting([2, 64]), counting([64, 2]))
    let pair = [
      ("unet.\(Self.linear).lora_A.weight", a), ("unet.\(Self.linear).lora_B.weight", b),
    ]
    let unknownTensors = [
      ("unet.\(Self.linear).lora_E.bias", counting([64])), ("foo.bar", scalar(1)),
    ]
    let refused = try refusal(pair + unknownTensors, into: model)
    #expect(
      refused.hasPrefix(
        "a.safetensors: holds 2 tensors that belong to no known adapter: ")
        && unknownTensors.allSatisfy { refused.contains($0.0) }, "\(refused)")
    _ = try merged(pair + unknownTensors, into: model, allowingUnused: true)
    // to_q has no bias that a difference could be added to.
    let bias = "unet.\(Self.linear).diff_b"
    #expect(
      try refusal(pair + [(bias, counting([64]))], into: model).hasPrefix(
        "a.safetensors: changes the bias of 1 layer that has none in sd-v1-4 (random): \(bias)"))
    let both = pair + [("unet.\(Self.linear).diff", counting([64, 64]))]
    let message = try refusal(both, into: model)
    #expect(message.hasPrefix("a.safetensors: module 'unet.\(Self.linear)' has tensors of "))
    #expect(message.contains("LoRA") && message.hasSuffix(", expected one kind"), "\(message)")
  }

  /// PEFT stores alpha in `adapter_config.json` beside the file.
  @Test func settingsBesideTheFile() throws {
    let model = try model()
    let weight = try #require(model["unet"]).weights.tensor(Self.linear + ".weight")
    let (a, b) = (counting([4, 64]), counting([64, 4]))
    for (settings, factor) in [
      ("{\"lora_alpha\": 8}", 2.0), ("{\"lora_alpha\": 8, \"use_rslora\": true}", 4),
      ("{\"lora_alpha\": 8, \"alpha_pattern\": {\"to_k\": 1, \"attn1.to_q\": 2}}", 0.5),
      ("{}", 1),
      // PEFT's defaults, where the settings are PEFT's.
      ("{\"peft_type\": \"LORA\"}", 2), ("{\"peft_type\": \"LORA\", \"lora_alpha\": 4}", 1),
      ("{\"alpha_pattern\": {\"to_q\": 2}}", 0.5),
    ] {
      try withTemporaryFolder { folder in
        let path = folder + "/adapter_model.safetensors"
        let key = "base_model.model.\(Self.linear)"
        try writeSafetensors(
          MemorySource(
            location: "test", [("\(key).lora_A.weight", a), ("\(key).lora_B.weight", b)]), to: path)
        try settings.write(
          toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
        let merge = try AdapterMerge([.init(path: path, scale: 1)], into: model)
        let unet = try #require(model["unet"])
        let found = try merge.weights(of: unet, as: nil).tensor(Self.linear + ".weight")
        expect(found.floats(), expected(weight, b, a, factor: factor))
      }
    }
  }

  @Test(
    arguments: [
      ([0xff], "not UTF-8"),
      (
        Array("a".utf8) + [[UInt8]](repeating: [0xcc, 0x81], count: 31).joined(),
        "a text with more than 30 combining marks in a row"
      ),
    ] as [([UInt8], String)])
  func settingsThatAreNoTextAreRefused(bytes: [UInt8], fault: String) throws {
    let model = try model()
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let tensor = ("unet.\(Self.linear).lora_A.weight", counting([2, 64]))
      try writeSafetensors(MemorySource(location: "test", [tensor]), to: path)
      let config = folder + "/adapter_config.json"
      try Data(bytes).write(to: URL(fileURLWithPath: config))
      #expect(throws: AdapterError.settings(path: config, found: fault, expected: "UTF-8 text")) {
        try AdapterMerge([.init(path: path, scale: 1)], into: model)
      }
    }
  }

  /// Patterns that are slow to match, or invalid, are named with what is expected.
  @Test func patternsThatAreRefused() throws {
    let model = try model()
    let complex =
      "is too complex to match safely; expected at most 512 bytes and 3 repetitions, none of them "
      + "of a group"
    for (pattern, fault) in [
      (".*a.*b.*c.*d", complex), ("(a)+", complex), (String(repeating: "a", count: 513), complex),
      ("[", "is not a regular expression"),
    ] {
      try withTemporaryFolder { folder in
        let path = folder + "/a.safetensors"
        let tensors = [
          ("unet.\(Self.linear).lora_A.weight", counting([2, 64])),
          ("unet.\(Self.linear).lora_B.weight", counting([64, 2])),
        ]
        try writeSafetensors(MemorySource(location: "test", tensors), to: path)
        try "{\"lora_alpha\": 1, \"alpha_pattern\": {\"\(pattern)\": 2}}".write(
          toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
        let error = #expect(throws: AdapterError.self) {
          _ = try AdapterMerge([.init(path: path, scale: 1)], into: model)
        }
        #expect(
          error
            == .pattern(path: folder + "/adapter_config.json", pattern: pattern, fault: fault))
        #expect(error?.remedy == .act("replace it with module names"))
      }
    }
  }

  @Test(arguments: ["[1]", "{\"lora_alpha\": \"much\"}", "{\"lora_alpha\": 1, \"use_dora\": true}"])
  func invalidSettingsAreRefused(settings: String) throws {
    let model = try model()
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let tensors = [
        ("unet.\(Self.linear).lora_A.weight", counting([2, 64])),
        ("unet.\(Self.linear).lora_B.weight", counting([64, 2])),
      ]
      try writeSafetensors(MemorySource(location: "test", tensors), to: path)
      try settings.write(
        toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      #expect(throws: AdapterError.self) {
        let merge = try AdapterMerge([.init(path: path, scale: 1)], into: model)
        let unet = try #require(model["unet"])
        _ = try merge.weights(of: unet, as: nil).tensor(Self.linear + ".weight")
      }
    }
  }

  static let faults: [(String, Shape, String, Shape, String)] = [
    (
      ".lora_A.weight", [2, 60], ".lora_B.weight", [64, 2],
      "tensor 'unet.\(linear).lora_A.weight' is [2, 60], expected [2, 64]"
    ),
    (
      ".lora_A.weight", [2, 64], ".lora_B.weight", [63, 2],
      "tensor 'unet.\(linear).lora_B.weight' is [63, 2], expected [64, rank]"
    ),
    (
      ".lora_A.weight", [2, 64], ".alpha", [1], "module 'unet.\(linear)' has no 'up'"
    ),
    (
      ".lora_B.weight", [64, 2], ".alpha", [1], "module 'unet.\(linear)' has no 'down'"
    ),
    (
      ".hada_w2_a", [64, 2], ".alpha", [1], "module 'unet.\(linear)' has no 'hada_w1_a'"
    ),
    (
      ".lokr_t2", [64, 2], ".alpha", [1],
      "module 'unet.\(linear)' has no 'lokr_w1_a'"
    ),
    (
      ".dora_scale", [64], ".lora_B.weight", [64, 2], "module 'unet.\(linear)' has no 'down'"
    ),
    (
      ".dora_scale", [64], ".alpha", [1],
      "module 'unet.\(linear)' has only unet.\(linear).alpha and unet.\(linear).dora_scale, "
        + "expected the tensors of LoHa, LoKr, LoRA or whole difference"
    ),
    // Kinds that Decant does not merge; two have tensors of other names too.
    (
      ".oft_blocks", [4, 16, 16], ".rescale", [64],
      "tensor 'unet.\(linear).oft_blocks' is of OFT, which Decant does not merge"
    ),
    (
      ".oft_blocks", [2, 4, 16, 16], ".alpha", [1],
      "tensor 'unet.\(linear).oft_blocks' is of BOFT, which Decant does not merge"
    ),
    (
      ".a1.weight", [2, 64], ".b1.weight", [64, 2],
      "tensor 'unet.\(linear).a1.weight' is of GLoRA, which Decant does not merge"
    ),
    (
      ".on_input", [1], ".weight", [64],
      "tensor 'unet.\(linear).on_input' is of IA3, which Decant does not merge"
    ),
  ]

  @Test(arguments: faults) func misshapenTensorsAreRefused(
    first: String, shape: Shape, second: String, other: Shape, sentence: String
  ) throws {
    let key = "unet." + Self.linear
    #expect(
      try refusal(
        [(key + first, counting(shape)), (key + second, counting(other))], into: try model())
        == "a.safetensors: " + sentence)
  }

  @Test func nonfiniteAdaptersAreRefused() throws {
    let key = "unet." + Self.linear
    let broken = StoredTensor(shape: [2, 64], floats: [Float](repeating: .nan, count: 128))
    #expect(
      try refusal(
        [(key + ".lora_A.weight", broken), (key + ".lora_B.weight", counting([64, 2]))],
        into: try model())
        == "a.safetensors: tensor '\(key).lora_A.weight' holds NaN or infinite numbers; its "
        + "training failed")
  }

  @Test func aFileWithoutAdaptersIsRefused() throws {
    #expect(
      try refusal([("conv_in.weight", counting([1]))], into: try model())
        == "a.safetensors: holds no adapter, but conv_in.weight")
  }

  @Test func integerCodesAreRefused() throws {
    var model = try model()
    let unet = try #require(model["unet"])
    let codes = StoredTensor(
      shape: [64, 64], encoding: .int8,
      parts: [
        ByteSlice([UInt8](repeating: 1, count: 4096)), ByteSlice([Float](repeating: 1, count: 64)),
      ])
    let name = Self.linear + ".weight"
    model["unet"]?.weights = MemorySource(
      location: "codes",
      try unet.weights.names.map { ($0, $0 == name ? codes : try unet.weights.tensor($0)) })
    let key = "unet." + Self.linear
    #expect(
      try refusal(
        [
          (key + ".lora_A.weight", counting([2, 64])), (key + ".lora_B.weight", counting([64, 2])),
        ],
        into: model)
        == "codes: tensor '\(name)' is int8, expected floating-point weights")
  }

  @Test func errorsCarryRemedies() {
    let rest = Remedy.choose(.allowUnused, purpose: "to merge the rest")
    #expect(AdapterError.unused(path: "a", model: "m", modules: ["x"]).remedy == rest)
    #expect(AdapterError.unknownTensors(path: "a", tensors: ["x"]).remedy == rest)
    #expect(AdapterError.biases(path: "a", model: "m", tensors: ["x"]).remedy == rest)
    #expect(
      AdapterError.unsupported(path: "a", kind: "OFT", tensor: "x").remedy
        == .act("merge it with the program that made it, and read the merged model"))
    let elsewhere = Remedy.act("merge it into a model that it was made for")
    let absent = AdapterError.Difference.absent(modules: ["x"])
    let shape = AdapterError.Difference.shape(tensor: "x", found: [1], expected: "[2]")
    for (fitting, difference, remedy) in [
      (0, absent, elsewhere), (3, shape, elsewhere), (3, absent, .either([elsewhere, rest])),
    ] {
      #expect(
        AdapterError.otherFamily(
          path: "a", families: ["x"], model: "m", title: "t", fitting: fitting, modules: 9,
          difference: difference
        ).remedy == remedy)
    }
    #expect(
      AdapterError.notAnAdapter(path: "a", kind: nil, tensors: ["x"]).remedy
        == .act("name a file of LoRA or another adapter"))
    #expect(
      AdapterError.foreign(path: "a", kind: "x", model: "m", modules: []).remedy == elsewhere)
    #expect(
      AdapterError.ambiguous(path: "a", module: "x", names: []).remedy
        == .act("keep one of them in the file"))
    #expect(AdapterError.folder(path: "a", found: []).remedy == .act("name the file itself"))
    #expect(
      AdapterError.quantized(path: "a", tensor: "x", encoding: "int8").remedy
        == .act("merge into the original model, and quantize after that"))
    #expect(AdapterError.nonfinite(path: "a", tensor: "x").remedy == nil)
  }
}
