import Checkpoints
import Foundation
import ModelSources
import Models
import Sampling
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Every family is written in every layout and read back, with every tensor, config and file
/// unchanged. Models are narrow, with the published topology and random weights.
@Suite struct RoundTripTests {
  static let families = Family.all.filter { $0.template != nil }.map(\.name)

  /// CLIP's vocabulary for both tokenizers.
  private static let vocabulary =
    CLIPVocabulary.files() + CLIPVocabulary.files(folder: "tokenizer_2")

  /// Writes a narrow model of the family as a diffusers folder.
  private func write(_ family: String, _ kind: ElementKind, to path: String) throws -> ModelSource {
    let family = try #require(Family.named(family))
    var model = try #require(
      try family.narrowed(kind: kind, vocabulary: 512, files: Self.vocabulary))
    model.files.removeAll { file in
      let tokenizer = file.path.split(separator: "/").first.map(String.init) ?? ""
      return model.index[tokenizer]?.array?.last?.string == nil
    }
    try DiffusersFolderWriter().write(model, to: path)
    return try Readers.all.read(path)
  }

  private func convert(_ model: String, to output: OutputRequest) async throws {
    _ = try await ConvertJob(
      model: model, reading: InputOptions(), output: output, type: nil
    ).run()
  }

  private func expect(_ copy: ModelSource, equals original: ModelSource) throws {
    #expect(try weights(copy) == weights(original))
    #expect(copy.components.map(\.name) == original.components.map(\.name))
    #expect(copy.components.map(\.className) == original.components.map(\.className))
    for (found, expected) in zip(copy.components, original.components) {
      #expect(Set(found.config.members.map(\.key)) == Set(expected.config.members.map(\.key)))
      for (member, value) in expected.config.members { #expect(found.config[member] == value) }
    }
    #expect(copy.scheduler == original.scheduler)
    #expect(copy.files.map(\.path) == original.files.map(\.path))
    #expect(copy.files.map(\.bytes.array) == original.files.map(\.bytes.array))
    #expect(copy.index["_class_name"] == original.index["_class_name"])
    let (found, expected) = (try Model.bind(copy).family, try Model.bind(original).family)
    #expect(found.name == expected.name)
  }

  @Test(arguments: families) func throughDecant(family: String) async throws {
    try await withTemporaryFolder { folder in
      let original = try write(family, .f16, to: folder + "/a")
      try await convert(folder + "/a", to: OutputRequest(path: folder + "/b.decant"))
      try await convert(folder + "/b.decant", to: OutputRequest(path: folder + "/c"))
      try expect(try Readers.all.read(folder + "/c"), equals: original)
    }
  }

  @Test func losslessCodingCanBeTurnedOff() async throws {
    try await withTemporaryFolder { folder in
      let original = try write("bk-sdm-small", .f16, to: folder + "/a")
      let (plain, coded) = (folder + "/plain.decant", folder + "/coded.decant")
      try await convert(folder + "/a", to: OutputRequest(path: plain, codes: false))
      try await convert(folder + "/a", to: OutputRequest(path: coded))
      let sizes = try [plain, coded].map { try ByteSlice.mapping($0).count }
      let weights = original.components.reduce(0) { $0 + $1.weights.byteCount }
      #expect(sizes[0] > weights && sizes[1] < weights)
      try await convert(plain, to: OutputRequest(path: folder + "/c"))
      try expect(try Readers.all.read(folder + "/c"), equals: original)
    }
  }

  /// Folders of components hold no scheduler config, no tokenizers and no pipeline class.
  @Test(arguments: ["sd-v1-5", "sdxl-base-1.0"])
  func componentsMakeAModel(family: String) async throws {
    try await withTemporaryFolder { folder in
      let original = try write(family, .f16, to: folder + "/a")
      var composition = Composition()
      for component in original.components where component.name != "unet" {
        composition.parts.append((component.name, folder + "/a/" + component.name))
      }
      _ = try await ConvertJob(
        model: folder + "/a/unet", reading: InputOptions(composition: composition),
        output: OutputRequest(path: folder + "/b"), type: nil
      ).run()
      let whole = try Readers.all.read(folder + "/b")
      #expect(try weights(whole) == weights(original))
      #expect(whole.index["_class_name"] == original.index["_class_name"])
      #expect(whole.scheduler?["_class_name"] != nil)
      let tokenizers = Set(whole.files.map(\.path)).filter { $0.hasSuffix("vocab.json") }
      #expect(tokenizers.count == original.components.filter { $0.name.hasPrefix("text") }.count)
      _ = try Model.bind(whole)
    }
  }

  /// The configs that a single file stores are used as those of a folder are.
  @Test func storedConfigsAreUsed() async throws {
    try await withTemporaryFolder { folder in
      let original = try write("sd-v1-5", .f16, to: folder + "/a")
      var other = original
      other["vae"]?.config["scaling_factor"] = 0.5
      try DiffusersFolderWriter().write(other, to: folder + "/b")
      try await convert(folder + "/b", to: OutputRequest(path: folder + "/b.safetensors"))
      let composition = Composition(parts: [("vae", folder + "/b.safetensors")])
      _ = try await ConvertJob(
        model: folder + "/a", reading: InputOptions(composition: composition),
        output: OutputRequest(path: folder + "/c"), type: nil
      ).run()
      let found = try Readers.all.read(folder + "/c")
      #expect(found["vae"]?.config["scaling_factor"] == 0.5)
    }
  }

  @Test func onlyDecantFilesAreCoded() async throws {
    try await withTemporaryFolder { folder in
      _ = try write("bk-sdm-small", .f16, to: folder + "/a")
      await #expect {
        try await convert(
          folder + "/a", to: OutputRequest(path: folder + "/b.gguf", codes: false))
      } throws: {
        "\($0)"
          == "\(folder)/b.gguf: a GGUF file does not support lossless coding; expected a decant file"
          && ($0 as? any RemediableError)?.remedy == .leaveOut(.coding)
      }
    }
  }

  @Test(arguments: families, ["dense", "gap"])
  func throughASingleFile(family: String, numbering: String) async throws {
    try await withTemporaryFolder { folder in
      let original = try write(family, .f16, to: folder + "/a")
      let file = folder + "/b.safetensors"
      try await convert(folder + "/a", to: OutputRequest(path: file, numbering: numbering))
      try await convert(file, to: OutputRequest(path: folder + "/c"))
      try expect(try Readers.all.read(folder + "/c"), equals: original)
    }
  }

  /// Families whose U-Net stable-diffusion.cpp does not recognize, or takes for another one.
  static let unknownToCpp: Set<String> = [
    "bk-sdm-base", "bk-sdm-small", "segmind-small-sd", "bk-sdm-v2-base", "bk-sdm-v2-small",
    "koala-700m", "koala-1b", "sdxl-refiner-1.0", "lcm-dreamshaper-v7", "lcm-sdxl",
  ]

  @Test(arguments: families) func throughGGUFForStableDiffusionCpp(family: String) async throws {
    try await withTemporaryFolder { folder in
      let original = try write(family, .f16, to: folder + "/a")
      let output = OutputRequest(path: folder + "/b.gguf", program: "sdcpp")
      if Self.unknownToCpp.contains(family) {
        await #expect(throws: OutputProfileError.self) {
          try await convert(folder + "/a", to: output)
        }
        #expect(!FileManager.default.fileExists(atPath: folder + "/b.gguf"))
        return
      }
      try await convert(folder + "/a", to: output)
      try await convert(folder + "/b.gguf", to: OutputRequest(path: folder + "/c"))
      try expect(try Readers.all.read(folder + "/c"), equals: original)
    }
  }

  /// Single files of diffusers have no guidance embedding of latent consistency models.
  @Test(arguments: families) func throughGGUFForDiffusers(family: String) async throws {
    try await withTemporaryFolder { folder in
      let original = try write(family, .f16, to: folder + "/a")
      let output = OutputRequest(path: folder + "/b.gguf", program: "diffusers")
      if family.hasPrefix("lcm") {
        await #expect(throws: OutputProfileError.self) {
          try await convert(folder + "/a", to: output)
        }
        return
      }
      try await convert(folder + "/a", to: output)
      try await convert(folder + "/b.gguf", to: OutputRequest(path: folder + "/c"))
      try expect(try Readers.all.read(folder + "/c"), equals: original)
    }
  }

  /// The file holds the U-Net only. It stores vectors in float32, which holds float16 exactly.
  @Test(arguments: families) func throughGGUFForComfyUI(family: String) async throws {
    try await withTemporaryFolder { folder in
      let original = try write(family, .f16, to: folder + "/a")
      let output = OutputRequest(path: folder + "/b.gguf", program: "comfyui")
      try await convert(folder + "/a", to: output)
      let parts = ["vae", "text_encoder", "text_encoder_2"].filter { original[$0] != nil }
      _ = try await ConvertJob(
        model: folder + "/b.gguf",
        reading: InputOptions(
          composition: Composition(parts: parts.map { ($0, folder + "/a") })),
        output: OutputRequest(path: folder + "/c"), type: "f16"
      ).run()
      try expect(try Readers.all.read(folder + "/c"), equals: original)
    }
  }
}
