import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

struct DiffusersReaderTests {
  @Test func readsEveryListedComponent() throws {
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
        ])
      #expect(
        model.changes == [
          ModelChange(
            .leftOut, "components that Decant does not read",
            names: ["feature_extractor", "safety_checker"], isRequested: true)
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

  @Test func absentAndNullMembersStayDistinct() throws {
    try withTemporaryFolder { folder in
      let config = try #require(try TinyFolder(in: folder).read()["unet"]).config
      #expect(config["time_cond_proj_dim"] == .some(.null))
      #expect(config["class_embed_type"] == nil)
    }
  }

  /// The form that `DPMSolverMultistepScheduler.save_pretrained` writes.
  @Test func infiniteSchedulerMembersAreRemoved() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try write(
        #"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#,
        to: tiny.path + "/scheduler/scheduler_config.json")
      #expect(try tiny.read().scheduler == ["_class_name": "DPMSolverMultistepScheduler"])
    }
  }

  @Test func trailingSlashesAndLinksAreAccepted() throws {
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

  @Test func nullComponentsNeedNoFolder() throws {
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

  @Test func tokenizersInOneFileAreRead() throws {
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

  @Test func plainWeightsAreReadUnlessAVariantIsRequested() throws {
    let plain = try names([Self.fp16, Self.nonEMA], variant: nil)
    #expect(plain.names?.count == 3 && plain.variants == nil)
    let chosen = try names([Self.fp16, Self.nonEMA], variant: "fp16")
    #expect(chosen.names == [Self.fp16] && chosen.variants == ["unet": "fp16"])
  }

  private struct Line: Equatable {
    let text: String
    let isRequested: Bool
    let remedy: Remedy?
  }

  /// Other variants may be other weights, so that leaving them out is a change that nobody asked for.
  /// The same weights in another number type or format are no loss.
  @Test func weightsThatAreNotReadAreListed() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let shard = "diffusion_pytorch_model.non_ema-00001-of-00002.safetensors"
      for file in [Self.fp16, Self.nonEMA, shard] { try tiny.weights(Self.half, "unet/" + file) }
      try write(torchFile(Self.half), to: tiny.path + "/unet/diffusion_pytorch_model.bin")
      try write("x", to: tiny.path + "/v1-5-pruned.ckpt")
      try write("x", to: tiny.path + "/notes.txt")
      func lines(_ variant: String?) throws -> [Line] {
        try tiny.read(variant: variant).changes
          .filter { $0.kind == .leftOut && !$0.summary.hasPrefix("components") }
          .map { Line(text: $0.text, isRequested: $0.isRequested, remedy: $0.remedy) }
      }
      let place = "'unet/diffusion_pytorch_model"
      let start = "left out: unet: other weights in its folder: \(place)"
      let beside = Line(
        text: "left out: weights beside the folders of the components: 'v1-5-pruned.ckpt'",
        isRequested: true, remedy: nil)
      #expect(
        try lines(nil) == [
          Line(
            text: start + ".non_ema-00001-of-00002.safetensors', \(place).non_ema.safetensors'",
            isRequested: false,
            remedy: .choose(.variant, ["non_ema"], purpose: "to read them")),
          Line(
            text: start + ".bin', \(place).fp16.safetensors'", isRequested: true, remedy: nil),
          beside,
        ])
      let chosen = try lines("non_ema")
      #expect(chosen.count == 2 && chosen.allSatisfy(\.isRequested), "\(chosen)")
    }
  }

  /// Neither weights that are not read nor files that belong to no component are files of the model.
  @Test func theFilesThatAreReadAreKnown() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(Self.half, "unet/" + Self.fp16)
      try write("x", to: tiny.path + "/v1-5-pruned.ckpt")
      let common = [
        "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
        "text_encoder/model.safetensors", "tokenizer/merges.txt", "tokenizer/vocab.json",
        "unet/config.json", "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
      ]
      for (variant, file) in [
        (nil, TinyFolder.stem + ".safetensors"), ("fp16", "unet/" + Self.fp16),
      ]
        as [(String?, String)]
      {
        let found = try tiny.read(variant: variant).inputFiles
        #expect(found.sorted() == (common + [file]).sorted().map { "\(tiny.path)/\($0)" })
      }
      try tiny.write(#"{"_class_name": "AutoencoderKL"}"#, "vae/config.json")
      #expect(
        try Readers.all.read(tiny.path + "/vae").inputFiles == [
          "\(tiny.path)/vae/config.json",
          "\(tiny.path)/vae/diffusion_pytorch_model.safetensors",
        ])
    }
  }

  @Test func theOnlyVariantIsReadAndRecorded() throws {
    let only = try names([Self.fp16], variant: nil, keepingPlain: false)
    #expect(only.names == [Self.fp16] && only.variants == ["unet": "fp16"])
  }

  /// Like diffusers, reads the plain weights of a component without the variant.
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

  @Test func anUnknownVariantIsRefused() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(Self.half, "unet/" + Self.fp16)
      #expect(
        tiny.refusal(variant: "bf16")
          == "model: no variant 'bf16'; expected fp16")
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
          == "model/vae: no variant 'fp16' of component 'vae'; expected bf16")
    }
  }

  @Test func twoVariantsWithoutAPlainOneAreRefused() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(TinyFolder.stem + ".safetensors")
      for file in [Self.fp16, Self.nonEMA] { try tiny.weights(Self.half, "unet/" + file) }
      #expect(
        tiny.refusal()
          == "model/unet: component 'unet' has no plain weights and more than one variant, fp16 and non_ema"
      )
    }
  }
}
