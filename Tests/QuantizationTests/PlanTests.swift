import Models
import Quantization
import Support
import Tensors
import Testing

struct PlanTests {
  static func modules() throws -> [ModuleSpec] {
    let family = try #require(Family.named("sd-v1-4"))
    let template = try #require(family.template)
    return try template.configs(location: "sd-v1-4").unet.modules
  }

  static func choices(_ scheme: String = "int8") throws -> QuantizationPlan.Choices {
    QuantizationPlan.Choices(scheme: try #require(Schemes.named(scheme)))
  }

  @Test func quantizesEveryMatrixButTheExcludedOnes() throws {
    let modules = try Self.modules()
    let plan = try QuantizationPlan(modules: modules, choices: try Self.choices())
    #expect(plan.entries.count == 686)
    #expect(plan.entries.map(\.tensor) == modules.tensors.map(\.name))
    #expect(plan.entries.reduce(0) { $0 + $1.shape.count } == 859_520_964)

    let kept = plan.entries.filter {
      $0.tensor.hasSuffix(".weight") && $0.shape.rank > 1 && $0.scheme.name == "f16"
    }
    #expect(
      kept.map(\.module)
        == ["conv_in", "time_embedding.linear_1", "time_embedding.linear_2", "conv_out"]
        .sorted {
          modules.map(\.name).firstIndex(of: $0)! < modules.map(\.name).firstIndex(of: $1)!
        })
    let quantized = plan.entries.filter { $0.scheme.name == "int8" }
    #expect(quantized.allSatisfy { $0.shape.rank >= 2 })
    #expect(quantized.contains { $0.module == "down_blocks.0.resnets.0.time_emb_proj" })
    // Norms, biases and excluded modules hold a third of a percent.
    let share = Double(quantized.reduce(0) { $0 + $1.shape.count }) / 859_520_964
    #expect((0.997...0.999).contains(share))
  }

  @Test func givesAReasonForEachTensor() throws {
    let plan = try QuantizationPlan(modules: try Self.modules(), choices: try Self.choices())
    #expect(plan["conv_in.weight"]?.reason == "first convolution: its error reaches every layer")
    #expect(plan["conv_in.bias"]?.reason == "bias")
    #expect(
      plan["conv_out.weight"]?.reason == "last convolution: its error goes straight to the output")
    #expect(
      plan["time_embedding.linear_2.weight"]?.reason == "time embedding: every block reads it")
    #expect(
      plan["down_blocks.0.resnets.0.norm1.weight"]?.reason
        == "norm: few weights, each scales a whole channel")
    #expect(plan["mid_block.attentions.0.proj_in.weight"]?.reason == "convolution")
    #expect(plan["nothing"] == nil)
  }

  /// Rows without groups for a scheme are stored as the rest.
  @Test func tensorsThatASchemeCannotStoreAreNotQuantized() throws {
    let modules = [
      SourceTests.module("a", .linear, .linear, [5, 48], bias: false),
      SourceTests.module("b", .linear, .linear, [5, 40], bias: false),
    ]
    let plan = try QuantizationPlan(
      modules: modules, choices: try Self.choices("int8-convrot"))
    #expect(
      Self.lines(plan) == [
        "a.weight | a | [5, 48] | int8-convrot | 260 | linear layer",
        "b.weight | b | [5, 40] | f16 | 400 | int8-convrot has no groups for rows of 40",
      ])
  }

  /// An entry as text: tensor, module, shape, scheme, bytes and reason.
  private static func lines(_ plan: QuantizationPlan) -> [String] {
    plan.entries.map {
      "\($0.tensor) | \($0.module) | \($0.shape) | \($0.scheme.name) | \($0.byteCount) | \($0.reason)"
    }
  }

  /// Every entry of a plan, with patterns on three modules.
  @Test func plansAreEqualByValue() throws {
    let modules =
      SourceTests.modules + [
        SourceTests.module("mid_block.linear", .linear, .linear, [5, 40]),
        SourceTests.module("up.conv", .convolution, .convolution, [2, 4, 1, 1], bias: false),
        SourceTests.module("conv_out", .convolution, .lastConvolution, [2, 4, 3, 3]),
      ]
    #expect(
      Self.lines(try QuantizationPlan(modules: modules, choices: try Self.choices())) == [
        "conv_in.weight | conv_in | [4, 2, 3, 3] | f16 | 144 | "
          + "first convolution: its error reaches every layer",
        "conv_in.bias | conv_in | [4] | f16 | 8 | bias",
        "block.norm.weight | block.norm | [4] | f16 | 8 | "
          + "norm: few weights, each scales a whole channel",
        "block.norm.bias | block.norm | [4] | f16 | 8 | "
          + "norm: few weights, each scales a whole channel",
        "block.conv.weight | block.conv | [6, 4, 3, 3] | int8 | 240 | convolution",
        "block.conv.bias | block.conv | [6] | f16 | 12 | bias",
        "block.linear.weight | block.linear | [5, 6] | int8 | 50 | linear layer",
        "mid_block.linear.weight | mid_block.linear | [5, 40] | int8 | 220 | linear layer",
        "mid_block.linear.bias | mid_block.linear | [5] | f16 | 10 | bias",
        "up.conv.weight | up.conv | [2, 4, 1, 1] | int8 | 16 | convolution",
        "conv_out.weight | conv_out | [2, 4, 3, 3] | f16 | 144 | "
          + "last convolution: its error goes straight to the output",
        "conv_out.bias | conv_out | [2] | f16 | 4 | bias",
      ])

    var choices = try Self.choices("int4-g32")
    choices.rest = try #require(Schemes.named("f32"))
    choices.keep = [ModulePattern("up"), ModulePattern("block.linear")]
    choices.only = [ModulePattern("block"), ModulePattern("mid_block"), ModulePattern("up.*")]
    choices.assign = [
      (ModulePattern("conv_*"), try #require(Schemes.named("bf16"))),
      (ModulePattern("conv_out"), try #require(Schemes.named("int8"))),
      (ModulePattern("mid_block"), try #require(Schemes.named("int8-g32"))),
    ]
    #expect(
      Self.lines(try QuantizationPlan(modules: modules, choices: choices)) == [
        "conv_in.weight | conv_in | [4, 2, 3, 3] | bf16 | 144 | assigned by pattern conv_*",
        "conv_in.bias | conv_in | [4] | f32 | 16 | bias",
        "block.norm.weight | block.norm | [4] | f32 | 16 | "
          + "norm: few weights, each scales a whole channel",
        "block.norm.bias | block.norm | [4] | f32 | 16 | "
          + "norm: few weights, each scales a whole channel",
        "block.conv.weight | block.conv | [6, 4, 3, 3] | int4-g32 | 132 | "
          + "selected by pattern block",
        "block.conv.bias | block.conv | [6] | f32 | 24 | bias",
        "block.linear.weight | block.linear | [5, 6] | f32 | 120 | kept by pattern block.linear",
        "mid_block.linear.weight | mid_block.linear | [5, 40] | int8-g32 | 220 | "
          + "assigned by pattern mid_block",
        "mid_block.linear.bias | mid_block.linear | [5] | f32 | 20 | bias",
        "up.conv.weight | up.conv | [2, 4, 1, 1] | f32 | 32 | kept by pattern up",
        "conv_out.weight | conv_out | [2, 4, 3, 3] | int8 | 80 | assigned by pattern conv_out",
        "conv_out.bias | conv_out | [2] | f32 | 8 | bias",
      ])
  }

  @Test func groupsCountEveryTensorOnce() throws {
    let plan = try QuantizationPlan(modules: try Self.modules(), choices: try Self.choices())
    #expect(plan.groups[0].scheme == "int8")
    #expect(plan.groups[0].reason == "convolution")
    #expect(plan.groups.reduce(0) { $0 + $1.tensors } == 686)
    #expect(plan.groups.reduce(0) { $0 + $1.parameters } == 859_520_964)
    #expect(plan.json.array?.count == 686)
    let model = ModelPlan([
      .init(component: "unet", plan: plan), .init(component: "other", plan: plan),
    ])
    #expect(model.json.array?.count == 2 * 686)
    #expect(model.json.array?.last?.object?.members.map(\.key).first == "component")
    #expect(model.json.array?.last?.object?["component"] == "other")
    #expect(model["unet"]?.quantizes == true && model["vae"] == nil)
  }

  @Test func patternsKeepAndAssign() throws {
    var choices = try Self.choices()
    choices.keep = [ModulePattern("*.attn2.to_k"), ModulePattern("mid_block")]
    choices.assign = [
      (ModulePattern("conv_in"), try #require(Schemes.named("int8"))),
      (ModulePattern("mid_block.resnets"), try #require(Schemes.named("int8-g64"))),
      (ModulePattern("mid_block.resnets.1"), try #require(Schemes.named("bf16"))),
    ]
    let plan = try QuantizationPlan(modules: try Self.modules(), choices: choices)
    #expect(plan["conv_in.weight"]?.scheme.name == "int8")
    #expect(plan["conv_in.weight"]?.reason == "assigned by pattern conv_in")
    #expect(plan["conv_in.bias"]?.scheme.name == "f16")
    #expect(plan["mid_block.resnets.0.conv1.weight"]?.scheme.name == "int8-g64")
    #expect(plan["mid_block.resnets.1.conv1.weight"]?.scheme.name == "bf16")
    #expect(plan["mid_block.attentions.0.proj_in.weight"]?.scheme.name == "f16")
    #expect(plan["mid_block.attentions.0.proj_in.weight"]?.reason == "kept by pattern mid_block")
    let key = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    #expect(plan[key]?.scheme.name == "f16")
    #expect(plan[key]?.reason == "kept by pattern *.attn2.to_k")
  }

  @Test func onlyRestrictsWhatIsQuantized() throws {
    var choices = try Self.choices()
    choices.only = [ModulePattern("*.attn?.*"), ModulePattern("conv_in")]
    let plan = try QuantizationPlan(modules: try Self.modules(), choices: choices)
    #expect(plan["conv_in.weight"]?.scheme.name == "int8")
    #expect(
      plan["mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"]?.scheme.name == "int8")
    #expect(plan["mid_block.resnets.0.conv1.weight"]?.reason == "selected by no pattern")
  }

  @Test func fourBitsLeaveSensitiveModulesAtEight() throws {
    let plan = try QuantizationPlan(
      modules: try Self.modules(), choices: try Self.choices("int4-g32"))
    #expect(plan["mid_block.resnets.0.conv1.weight"]?.scheme.name == "int4-g32")
    for module in [
      "up_blocks.1.resnets.0.conv_shortcut", "mid_block.resnets.0.time_emb_proj",
      "down_blocks.0.downsamplers.0.conv", "up_blocks.0.upsamplers.0.conv",
      "mid_block.attentions.0.proj_in", "down_blocks.0.resnets.0.conv1",
    ] {
      #expect(plan[module + ".weight"]?.scheme.name == "int8")
      #expect(plan[module + ".weight"]?.reason == "too sensitive for 4 bits")
    }
    var choices = try Self.choices("int4-g32")
    choices.assign = [(ModulePattern("*.proj_in"), choices.scheme)]
    let changed = try QuantizationPlan(modules: try Self.modules(), choices: choices)
    #expect(changed["mid_block.attentions.0.proj_in.weight"]?.scheme.name == "int4-g32")
  }

  /// Exceptions of a caller replace the standard ones; patterns of the user and modules that are
  /// not quantized by default come first.
  @Test func exceptionsChooseASchemePerModule() throws {
    #expect(try Self.choices("int8").exceptions.isEmpty)
    #expect(try Self.choices("f16").exceptions.isEmpty)
    var choices = try Self.choices("int4-g32")
    let groups = try #require(Schemes.named("int8-g64"))
    choices.exceptions = ["conv_in", "mid_block.attentions.0.proj_in", "mid_block.resnets.0"].map {
      PlanException(pattern: ModulePattern($0), scheme: groups, reason: "measured")
    }
    choices.keep = [ModulePattern("mid_block.resnets.0.conv1")]
    let plan = try QuantizationPlan(modules: try Self.modules(), choices: choices)
    #expect(plan["conv_in.weight"]?.scheme.name == "f16")
    #expect(plan["mid_block.attentions.0.proj_in.weight"]?.scheme.name == "int8-g64")
    #expect(plan["mid_block.attentions.0.proj_in.weight"]?.reason == "measured")
    #expect(plan["mid_block.attentions.0.proj_out.weight"]?.scheme.name == "int4-g32")
    #expect(plan["mid_block.resnets.0.conv1.weight"]?.scheme.name == "f16")
    #expect(plan["mid_block.resnets.0.conv2.weight"]?.scheme.name == "int8-g64")
  }

  @Test(arguments: [
    (Setting.keep, "mid_blok", "'mid_block', "),
    (.only, "conv_inn", "'conv_in', 'conv_out', "),
    (.assign, "*.norm1", ""),
  ])
  func refusesPatternsThatMatchNothing(
    setting: Setting, pattern: String, nearest: String
  ) throws {
    var choices = try Self.choices()
    let found = ModulePattern(pattern)
    switch setting {
    case .keep: choices.keep = [found]
    case .only: choices.only = [found]
    default: choices.assign = [(found, choices.scheme)]
    }
    let modules = try Self.modules()
    let error = #expect(throws: PlanError.self) {
      try QuantizationPlan(modules: modules, choices: choices)
    }
    let description = error?.description ?? ""
    let start =
      "\(setting) pattern '\(pattern)' matches no convolution or linear layer of the model; "
      + "similar names are \(nearest)"
    #expect(description.hasPrefix(start), "\(description)")
    #expect(error?.remedy == .act("use a pattern that matches one, or leave it out"))
  }

  @Test(arguments: [
    ("conv_in", "conv_in", true), ("conv_in", "conv_in2", false),
    ("mid_block", "mid_block.a.b", true),
    ("*", "anything.at.all", true), ("*.conv1", "a.b.conv1", true), ("*.conv1", "a.b.conv2", false),
    ("a.*.c", "a.b.x.c", true), ("a.?.c", "a.b.c", true), ("a.?.c", "a.bb.c", false),
    ("*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaab", true), ("*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaac", false),
    ("", "a", false), ("a", "", false),
  ])
  func patternsMatchAsShellsDo(pattern: String, name: String, expected: Bool) {
    #expect(ModulePattern(pattern).matches(name) == expected)
  }
}
