import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing

@Suite struct FamilyTests {
  @Test func namesAreUnique() {
    let names = Family.all.map(\.name)
    #expect(Set(names).count == names.count)
    for family in Family.all {
      #expect(Family.named(family.name)?.title == family.title)
    }
  }

  /// Families that configs cannot tell from an earlier family of the list.
  static let twins = [
    "sd-v1-5": "sd-v1-4", "segmind-small-sd": "bk-sdm-base", "segmind-tiny-sd": "bk-sdm-tiny",
  ]

  /// Every published model is recognized as its own family, or as its twin.
  @Test(arguments: Family.all.filter { $0.template != nil }.map(\.name))
  func aSynthesizedModelIsRecognized(name: String) throws {
    let family = try #require(Family.named(name))
    let source = try #require(try family.synthesize(seed: 0, kind: .f16))
    let model = try Model.bind(source)
    #expect(model.family.name == Self.twins[name] ?? name)
    #expect(model.family.architecture.name == family.architecture.name)
    #expect(Architectures.of(source.components).name == family.architecture.name)
    let pipeline = try #require(model.source.index["_class_name"]?.string)
    #expect(["StableDiffusion", "LatentConsistency"].contains(where: pipeline.hasPrefix))
  }

  /// The same topology with other widths belongs to the architecture's open family.
  @Test(arguments: Family.all.filter { $0.template != nil }.map(\.name))
  func aNarrowModelKeepsItsArchitecture(name: String) throws {
    let family = try #require(Family.named(name))
    let narrow = try #require(try family.narrowed(vocabulary: 64))
    let found = try Model.bind(narrow).family
    #expect(found.template == nil)
    #expect(found.architecture.name == family.architecture.name)
  }

  @Test(arguments: [
    ("sd-v1-5", 512), ("sd-v2-1", 768), ("sd-turbo", 512), ("sdxl-base-1.0", 1024),
    ("sdxl-turbo", 512), ("ssd-1b", 1024),
  ]) func theDefaultSizeIsTheTrainedOne(name: String, side: Int) throws {
    let family = try #require(Family.named(name))
    let source = try #require(try family.synthesize(seed: 0, kind: .f16))
    #expect(try Model.bind(source).defaultSize == ImageSize(width: side, height: side))
  }

  /// The prediction type distinguishes families with the same module tree.
  @Test func thePredictionTypeDecides() throws {
    let family = try #require(Family.named("sd-v2-1-base"))
    var source = try #require(try family.synthesize(seed: 0, kind: .f16))
    source.scheduler?["prediction_type"] = "v_prediction"
    #expect(try Model.bind(source).family.name == "sd-v2-1")
  }

  /// The pad token of OpenCLIP's tokenizers is "!", whose number is 0.
  @Test(arguments: [
    ("sd-v1-4", "tokenizer", "<|endoftext|>"), ("sd-v2-1", "tokenizer", "!"),
    ("sdxl-base-1.0", "tokenizer", "<|endoftext|>"), ("sdxl-base-1.0", "tokenizer_2", "!"),
    ("sdxl-refiner-1.0", "tokenizer_2", "!"),
  ]) func textsArePaddedWith(name: String, tokenizer: String, pad: String) throws {
    let template = try #require(Family.named(name)?.template)
    let file = try #require(
      template.files.first { $0.path == tokenizer + "/special_tokens_map.json" })
    #expect(try JSONValue(parsing: file.text).object?["pad_token"] == .string(pad))
  }

  /// A published index suits its family. An index of another architecture is reported.
  @Test(arguments: Family.all.filter { $0.template != nil }.map(\.name))
  func theIndexNamesTheArchitecture(name: String) throws {
    let family = try #require(Family.named(name))
    var source = try #require(try family.synthesize(seed: 0, kind: .f16))
    #expect(try Model.bind(source).indexDoubt == nil)
    let own = family.architecture.pipelineClass
    let other =
      own.hasPrefix("StableDiffusionXL") ? "StableDiffusionPipeline" : "StableDiffusionXLPipeline"
    source.index["_class_name"] = .string(other)
    #expect(
      try Model.bind(source).indexDoubt
        == "the index says '\(other)', but these components make a \(own)")
  }

  @Test func anotherLatentScaleIsAnotherModel() throws {
    let family = try #require(Family.named("sd-v1-4"))
    var source = try #require(try family.synthesize(seed: 0, kind: .f16))
    source["vae"]?.config["scaling_factor"] = 0.13025
    #expect(try Model.bind(source).family.name == "sd-v1-custom")
  }

  /// Also of members that tensors do not show, such as the number of attention heads.
  @Test func componentsOfPublishedModelsHavePublishedSizes() throws {
    for family in Family.all {
      for component in try family.synthesize(seed: 0, kind: .f16)?.components ?? [] {
        #expect(component.hasPublishedSizes, "\(family.name) \(component.name)")
      }
    }
    for component in try MiniModel.source().components {
      #expect(!component.hasPublishedSizes, "\(component.name)")
    }
    let family = try #require(Family.named("sd-v1-4"))
    let source = try #require(try family.synthesize(seed: 0, kind: .f16))
    for (name, member, value) in [
      ("unet", "attention_head_dim", 16), ("unet", "norm_num_groups", 16),
      ("vae", "norm_num_groups", 16), ("text_encoder", "num_attention_heads", 8),
      ("text_encoder", "num_hidden_layers", 11), ("text_encoder", "hidden_act", "gelu"),
    ] as [(String, String, JSONValue)] {
      var component = try #require(source[name])
      component.config[member] = value
      #expect(!component.hasPublishedSizes, "\(name) \(member)")
    }
  }

  @Test func anOpenFamilyCannotBeSynthesized() throws {
    let family = try #require(Family.named("sd-v1-custom"))
    #expect(try family.synthesize(seed: 0, kind: .f16) == nil)
  }
}

@Suite struct RandomWeightsTests {
  private func weights(seed: UInt64, kind: ElementKind = .f32) throws -> RandomWeights {
    let config = try UNetConfig(json: MiniModel.unet, location: "")
    return RandomWeights(location: "random", modules: config.modules, kind: kind, seed: seed)
  }

  @Test func theSeedDecides() throws {
    let name = "conv_in.weight"
    let first = try weights(seed: 1).tensor(name).floats()
    #expect(try weights(seed: 1).tensor(name).floats() == first)
    #expect(try weights(seed: 2).tensor(name).floats() != first)
    #expect(try weights(seed: 1).tensor("conv_out.weight").floats() != first)
  }

  @Test func spreadFollowsTheInputs() throws {
    let values = try weights(seed: 3).tensor("mid_block.resnets.0.conv1.weight").floats()
    let mean = values.reduce(0, +) / Float(values.count)
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(values.count)
    // 9216 numbers: the mean lies within four of its own deviations, the variance within 6 %.
    let deviation = 1 / Float(32 * 9).squareRoot()
    #expect(abs(mean) < 4 * deviation / Float(values.count).squareRoot())
    #expect(abs(variance / (deviation * deviation) - 1) < 0.06)
  }

  /// A tensor is generated in runs that continue one stream, whatever the element kind.
  @Test func runsJoinSeamlessly() throws {
    let spec = ModuleSpec(
      name: "wide", kind: .linear, role: .linear, block: "wide",
      weight: TensorSpec(name: "wide.weight", shape: [3, 50_000]), bias: nil)
    let (full, half) = (
      RandomWeights(location: "random", modules: [spec], kind: .f32, seed: 5),
      RandomWeights(location: "random", modules: [spec], kind: .f16, seed: 5)
    )
    let numbers = try full.tensor("wide.weight").floats()
    #expect(numbers.prefix(1 << 16) != numbers.dropFirst(1 << 16).prefix(1 << 16))
    #expect(try half.tensor("wide.weight").floats() == numbers.map { Float(Float16($0)) })
  }

  @Test func normsLieAroundOne() throws {
    let values = try weights(seed: 3).tensor("conv_norm_out.weight").floats()
    #expect(values.allSatisfy { $0 > 0.6 && $0 < 1.4 })
  }

  @Test func kindAndShapeAreAsRequested() throws {
    let weights = try weights(seed: 1, kind: .bf16)
    let entry = weights.entry("conv_in.weight")
    #expect(entry == TensorEntry(shape: [16, 4, 3, 3], encoding: .plain(.bf16)))
    #expect(try weights.tensor("conv_in.weight").entry == entry)
    #expect(weights.entry("conv_inn.weight") == nil)
    #expect(throws: WeightError.self) { try weights.tensor("conv_inn.weight") }
  }
}
