import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

struct DiffusersWriterTests {
  private let writer = DiffusersFolderWriter()

  @Test func modelsAreReadBack() throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      let out = folder + "/out"
      try writer.write(model, to: out + "/")
      #expect(contents(folder) == ["model", "out"])
      #expect(
        contents(out) == [
          "model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae",
        ])
      #expect(contents(out + "/unet") == ["config.json", "diffusion_pytorch_model.safetensors"])
      #expect(contents(out + "/text_encoder") == ["config.json", "model.safetensors"])
      #expect(contents(out + "/tokenizer") == ["merges.txt", "vocab.json"])

      let copy = try DiffusersFolderReader().read(out, options: ReadOptions())
      #expect(copy.components.map(\.name) == model.components.map(\.name))
      #expect(copy.components.map(\.config) == model.components.map(\.config))
      #expect(copy.scheduler == model.scheduler)
      #expect(copy.files.map(\.bytes.array) == model.files.map(\.bytes.array))
      for (left, right) in zip(model.components, copy.components) {
        #expect(left.className == right.className)
        #expect(Set(left.weights.names) == Set(right.weights.names))
        for name in left.weights.names {
          #expect(left.weights.entry(name) == right.weights.entry(name))
          #expect(
            try left.weights.tensor(name).parts[0].array
              == right.weights.tensor(name).parts[0].array)
        }
      }
    }
  }

  @Test func provenanceIsReadBack() throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      let source: JSONValue = ["name": "model", "sha256": "00"]
      let steps: JSONValue = [["step": "strip"], ["step": "quantize"]]
      model.provenance = ["source": source]
      model.lateProvenance = { ["steps": steps] }
      let out = folder + "/out"
      try writer.write(model, to: out)
      #expect(contents(out).first == "decant.json")
      let copy = try DiffusersFolderReader().read(out, options: ReadOptions())
      #expect(copy.provenance["source"] == source)
      #expect(copy.provenance["steps"] == steps)
      #expect(copy.provenance["weights"]?.object?["unet"] != nil)
    }
  }

  @Test func theIndexListsTheWrittenComponents() throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      try writer.write(model, to: folder + "/out")
      #expect(
        try text(folder + "/out/model_index.json") == """
          {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.30.0",
            "feature_extractor": [null, null],
            "image_encoder": [null, null],
            "requires_safety_checker": false,
            "safety_checker": [null, null],
            "scheduler": ["diffusers", "PNDMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"]
          }

          """)
      #expect(
        try text(folder + "/out/text_encoder/config.json")
          == "{\n  \"hidden_size\": 2,\n  \"layer_norm_eps\": 1e-05\n}\n")
    }
  }

  @Test func missingComponentsAreListedAsAbsent() throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      model.scheduler = nil
      model.files = []
      model["text_encoder"] = nil
      model.index["scheduler"] = ["diffusers", "DDIMScheduler"]
      try writer.write(model, to: folder + "/out")
      #expect(contents(folder + "/out") == ["model_index.json", "unet", "vae"])
      let index = try #require(
        try JSONValue(parsing: text(folder + "/out/model_index.json")).object)
      for name in ["scheduler", "text_encoder", "tokenizer"] {
        #expect(index[name] == [nil, nil])
      }
    }
  }

  /// A model of another layout has an empty index.
  @Test func anEmptyIndexIsFilled() throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      model.index = [:]
      model["unet"]?.className = "UNet2DConditionModel"
      model.files = [
        ModelSource.File(
          path: "tokenizer/tokenizer.json", bytes: ByteSlice([0x7b, 0x7d] as [UInt8]))
      ]
      try writer.write(model, to: folder + "/out")
      let index = try #require(
        try JSONValue(parsing: text(folder + "/out/model_index.json")).object)
      #expect(index["_class_name"] == "StableDiffusionPipeline")
      #expect(index["scheduler"] == ["diffusers", "PNDMScheduler"])
      #expect(index["tokenizer"] == ["transformers", "CLIPTokenizer"])
      #expect(contents(folder + "/out/tokenizer") == ["tokenizer.json"])
    }
  }

  /// SDXL's pipeline has other members than that of SD 1. None is added or removed.
  @Test func otherMembersOfTheIndexAreKept() throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      model.index = [
        "_class_name": "StableDiffusionXLPipeline", "_diffusers_version": "0.19.0",
        "force_zeros_for_empty_prompt": true, "image_encoder": ["transformers", "X"],
        "feature_extractor": [nil, nil], "add_watermarker": nil,
        "unet": ["diffusers", "UNet2DConditionModel"],
      ]
      try writer.write(model, to: folder + "/out")
      let index = try #require(
        try JSONValue(parsing: text(folder + "/out/model_index.json")).object)
      #expect(
        index.keys == [
          "_class_name", "_diffusers_version", "add_watermarker", "feature_extractor",
          "force_zeros_for_empty_prompt", "image_encoder", "scheduler", "text_encoder",
          "tokenizer", "unet", "vae",
        ])
      #expect(index["force_zeros_for_empty_prompt"] == true)
      #expect(index["image_encoder"] == [nil, nil] && index["feature_extractor"] == [nil, nil])
      #expect(index["add_watermarker"] == .null)
    }
  }

  @Test func oldTensorNamesAreWrittenAsCurrentOnes() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(
        [("decoder.mid_block.attentions.0.query.weight", counting([2, 2, 1, 1]))],
        "vae/diffusion_pytorch_model.safetensors")
      try tiny.weights(
        [
          ("final_layer_norm.bias", counting([2])), ("embeddings.position_ids", counting([1, 77])),
        ],
        "text_encoder/model.safetensors")
      try writer.write(try tiny.read(), to: folder + "/out")
      let vae = try SafetensorsFile(
        path: folder + "/out/vae/diffusion_pytorch_model.safetensors")
      #expect(vae.names == ["decoder.mid_block.attentions.0.to_q.weight"])
      #expect(vae.entry(vae.names[0])?.shape == [2, 2])
      #expect(vae.metadata == ["format": "pt"])
      let text = try SafetensorsFile(path: folder + "/out/text_encoder/model.safetensors")
      #expect(text.names == ["text_model.final_layer_norm.bias"])
    }
  }

  @Test func progressCountsAllWeights() throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      let total = model.components.reduce(0) { $0 + $1.weights.byteCount }
      var seen: [Int] = []
      try writer.write(model, to: folder + "/out") { done, of in
        seen.append(done)
        #expect(of == total)
      }
      #expect(seen == seen.sorted() && seen.first == 0 && seen.last == total)
    }
  }
}

struct DiffusersWriterRefusalTests {
  private let writer = DiffusersFolderWriter()

  @Test func existingOutputsAreReplacedOnRequestOnly() throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      let out = folder + "/out"
      try writer.write(model, to: out)
      try write("old", to: out + "/unet/diffusion_pytorch_model.fp16.safetensors")
      #expect(
        message { try writer.write(model, to: out) }
          == "\(out) already exists")
      #expect(contents(out + "/unet").contains("diffusion_pytorch_model.fp16.safetensors"))
      try writer.write(model, to: out, replacing: true)
      #expect(!contents(out + "/unet").contains("diffusion_pytorch_model.fp16.safetensors"))
      #expect(contents(folder) == ["model", "out"])
    }
  }

  /// Files that are not part of the layout may be the user's own.
  @Test(arguments: [
    "v1-5-pruned.safetensors", "unet/notes.txt", "samples/1.png", "tokenizer/own.py",
  ])
  func foldersWithOtherFilesAreNeverReplaced(file: String) throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      let out = folder + "/out"
      try writer.write(model, to: out)
      try write("precious", to: out + "/" + file)
      let shown = file.hasPrefix("samples") ? "samples" : file
      #expect(
        message { try writer.write(model, to: out, replacing: true) }
          == "\(out) is a folder that also holds '\(shown)'; only a diffusers folder is replaced"
      )
      #expect(FileManager.default.fileExists(atPath: out + "/" + file))
    }
  }

  /// A model may be written over the one that it is read from: its files stay mapped.
  @Test func aModelMayReplaceItself() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try writer.write(try tiny.read(), to: tiny.path, replacing: true)
      #expect(try tiny.read()["unet"]?.weights.tensor("conv_in.bias").floats() == [18, 19])
      #expect(contents(folder) == ["model"])
    }
  }

  @Test func otherFoldersAreNeverReplaced() throws {
    try withTemporaryFolder { folder in
      let model = try TinyFolder(in: folder).read()
      let home = folder + "/home"
      try write("precious", to: home + "/letters")
      #expect(
        message { try writer.write(model, to: home, replacing: true) }
          == "\(home) is a folder without model_index.json; only a diffusers folder is replaced"
      )
      #expect(
        message { try writer.write(model, to: home + "/letters", replacing: true) }
          == "\(home)/letters is a file; only a diffusers folder is replaced"
      )
      #expect(try text(home + "/letters") == "precious")
      try FileManager.default.createDirectory(
        atPath: folder + "/empty", withIntermediateDirectories: false)
      try writer.write(model, to: folder + "/empty", replacing: true)
    }
  }

  @Test func quantizedWeightsAreRefused() throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      model["unet"]?.weights = MemorySource(
        location: "m",
        [
          (
            "conv_in.weight",
            StoredTensor(
              shape: [1, 1], encoding: .int8,
              parts: [ByteSlice([1] as [Int8]), ByteSlice([1] as [Float])])
          )
        ])
      #expect(
        message { try writer.write(model, to: folder + "/out") }
          == "\(folder)/out/unet/diffusion_pytorch_model.safetensors: tensor 'conv_in.weight' is int8, which safetensors cannot hold"
      )
      #expect(contents(folder) == ["model"])
    }
  }

  @Test func unknownComponentsAreRefused() throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      model["controlnet"] = ModelSource.Component(
        name: "controlnet", className: "ControlNetModel", config: [:],
        weights: MemorySource(location: "m", []))
      #expect(
        message { try writer.write(model, to: folder + "/out") }
          == "\(folder)/out: component 'controlnet' does not belong in a diffusers folder; expected text_encoder, text_encoder_2, unet and vae"
      )
    }
  }

  @Test(arguments: [
    "../escape", "/etc/passwd", "tokenizer/../../x", "tokenizer//x", "tokenizer/.", "x", "",
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json", "tokenizer/vocab.json",
  ])
  func unsafeAndReservedPathsAreRefused(path: String) throws {
    try withTemporaryFolder { folder in
      var model = try TinyFolder(in: folder).read()
      model.files.append(ModelSource.File(path: path, bytes: ByteSlice([1] as [UInt8])))
      #expect(
        message { try writer.write(model, to: folder + "/out") }
          == "\(folder)/out: the model's file '\(path)' does not belong in a diffusers folder")
      #expect(contents(folder) == ["model"])
    }
  }

  @Test func cancellationLeavesNothing() async throws {
    let task = Task {
      try withTemporaryFolder { folder in
        let model = try TinyFolder(in: folder).read()
        let text = message {
          try DiffusersFolderWriter().write(model, to: folder + "/out") { _, _ in
            withUnsafeCurrentTask { $0?.cancel() }
          }
        }
        return (text, contents(folder))
      }
    }
    let (text, left) = try await task.value
    #expect(text == "CancellationError()" && left == ["model"])
  }
}
