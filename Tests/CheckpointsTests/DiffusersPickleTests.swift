import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Folders with pickled weights, and with both pickles and safetensors.
struct DiffusersPickleTests {
  private func tiny<Result>(_ body: (TinyFolder) throws -> Result) throws -> Result {
    try withTemporaryFolder { try body(TinyFolder(in: $0)) }
  }

  @Test func pickledWeightsAreRead() throws {
    try tiny { tiny in
      let before = try tiny.read()
      for (component, tensors) in [
        ("unet", TinyFolder.unet), ("vae", TinyFolder.vae),
        ("text_encoder", TinyFolder.textEncoder),
      ] {
        let isText = component == "text_encoder"
        try tiny.remove(
          "\(component)/\(isText ? "model" : "diffusion_pytorch_model").safetensors")
        try write(
          torchFile(tensors),
          to: tiny.path
            + "/\(component)/\(isText ? "pytorch_model" : "diffusion_pytorch_model").bin")
      }
      let model = try tiny.read()
      #expect(model.components.map(\.name) == before.components.map(\.name))
      for (left, right) in zip(before.components, model.components) {
        #expect(Set(left.weights.names) == Set(right.weights.names))
        for name in left.weights.names {
          #expect(left.weights.entry(name) == right.weights.entry(name))
          #expect(
            try left.weights.tensor(name).floats() == right.weights.tensor(name).floats())
        }
      }
      #expect(
        model.provenance["weights"]?.object?["text_encoder"] == ["text_encoder/pytorch_model.bin"])
    }
  }

  @Test func safetensorsArePreferred() throws {
    try tiny { tiny in
      try write(
        torchFile([("pickled", counting([1]))]), to: tiny.path + "/unet/diffusion_pytorch_model.bin"
      )
      #expect(try tiny.read()["unet"]?.weights.names.contains("pickled") == false)
    }
  }

  /// What a pickle holds beside the weights is listed, in folders and in single files.
  @Test func otherMembersOfPicklesAreListed() throws {
    try tiny { tiny in
      let tensor = Pickle.tensor(Pickle.storage(count: 1), [1], [1])
      let values = Pickle.dictionary([
        ("state_dict", Pickle.dictionary([("conv_in.bias", tensor)])),
        ("optimizer_states", Pickle.list([tensor])),
      ])
      let bytes = torchFile(values, storages: [("0", floatBytes([1]))])
      try tiny.remove(TinyFolder.stem + ".safetensors")
      try write(bytes, to: tiny.path + "/" + TinyFolder.stem + ".bin")
      let line = "members of the pickle that are no tensors, numbers or texts: 'optimizer_states'"
      let model = try tiny.read()
      #expect(model["unet"]?.weights.names == ["conv_in.bias"])
      #expect(model.changes.map(\.text).contains("left out: unet: " + line))
      let archive = try Archives.open(tiny.path + "/" + TinyFolder.stem + ".bin")
      #expect(archive.changes.map(\.text) == ["left out: " + line])
    }
  }

  @Test func variantsAndShardsOfPicklesAreFound() throws {
    try tiny { tiny in
      try tiny.remove(TinyFolder.stem + ".safetensors")
      let unet = tiny.path + "/unet/"
      try write(torchFile([("half", counting([1]))]), to: unet + "diffusion_pytorch_model.fp16.bin")
      #expect(try tiny.read()["unet"]?.weights.names == ["half"])
      try write(torchFile([("plain", counting([1]))]), to: unet + "diffusion_pytorch_model.bin")
      #expect(try tiny.read()["unet"]?.weights.names == ["plain"])
      #expect(try tiny.read(variant: "fp16")["unet"]?.weights.names == ["half"])

      try remove(unet + "diffusion_pytorch_model.bin")
      let shards = (1...2).map { "diffusion_pytorch_model-0000\($0)-of-00002.bin" }
      try write(torchFile([("a", counting([1]))]), to: unet + shards[0])
      try write(torchFile([("b", counting([1]))]), to: unet + shards[1])
      #expect(try tiny.read()["unet"]?.weights.names == ["half"])
      try write(
        #"{"weight_map": {"a": "\#(shards[0])", "b": "\#(shards[1])"}}"#,
        to: unet + "diffusion_pytorch_model.bin.index.json")
      #expect(try tiny.read()["unet"]?.weights.names == ["a", "b"])
      try remove(unet + "diffusion_pytorch_model.bin.index.json")
      try remove(unet + "diffusion_pytorch_model.fp16.bin")
      #expect(
        tiny.refusal()
          == "model/unet: shard '\(shards[0])' has no index, expected 'diffusion_pytorch_model.bin.index.json' beside it"
      )
    }
  }
}

/// Folders of one component.
struct DiffusersComponentTests {
  private func part(
    _ component: String, config: String, variant: String? = nil,
    _ body: (Result<ModelSource, any Error>, String) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let path = tiny.path + "/" + component
      try write(config, to: path + "/config.json")
      let options = ReadOptions(variant: variant)
      try body(Result { try Readers.all.read(path + "/", options: options) }, path)
    }
  }

  @Test(arguments: [
    ("unet", #"{"_class_name": "UNet2DConditionModel", "x": 1}"#, "unet"),
    ("vae", #"{"_class_name": "AutoencoderKL"}"#, "vae"),
    ("text_encoder", #"{"architectures": ["CLIPTextModel"]}"#, "text_encoder"),
    ("text_encoder", #"{"architectures": ["CLIPTextModelWithProjection"]}"#, "text_encoder_2"),
  ])
  func isReadAsAModelWithThatComponent(folder: String, config: String, name: String) throws {
    try part(folder, config: config) { result, path in
      let model = try result.get()
      #expect(model.components.map(\.name) == [name])
      #expect(
        model.components[0].className
          == (config.contains("CLIP")
            ? (name == "text_encoder" ? "CLIPTextModel" : "CLIPTextModelWithProjection")
            : name == "unet" ? "UNet2DConditionModel" : "AutoencoderKL"))
      #expect(model.components[0].config == (try JSONValue(parsing: config).object))
      #expect(model.components[0].weights.names.count == 3)
      #expect(model.location == path && model.layout == "diffusers folder")
      #expect(model.scheduler == nil && model.files.isEmpty && model.index.isEmpty)
    }
  }

  @Test(arguments: [
    (#"{"_class_name": "MyUNet"}"#, "a component of class 'MyUNet'"),
    ("{}", "no class of the component"),
  ])
  func otherClassesAreRefused(config: String, found: String) throws {
    try part("unet", config: config) { result, path in
      #expect(
        message { _ = try result.get() }
          == "\(path)/config.json: \(found); expected CLIPTextModel, CLIPTextModelWithProjection, UNet2DConditionModel or AutoencoderKL"
      )
    }
  }

  @Test func aMissingVariantIsRefused() throws {
    try part("unet", config: #"{"_class_name": "UNet2DConditionModel"}"#, variant: "fp16") {
      result, path in
      #expect(
        message { _ = try result.get() }
          == "\(path): no variant 'fp16' of component 'unet'; there are no variants"
      )
    }
  }

  /// Without weights, the folder may be that of a pipeline without its index.
  @Test func aConfigWithoutWeightsIsNoComponent() throws {
    try withTemporaryFolder { folder in
      try write("{}", to: folder + "/m/config.json")
      #expect(
        message { _ = try Readers.all.read(folder + "/m") }
          == "\(folder)/m: no model_index.json, which a diffusers folder has; the folder holds config.json"
      )
    }
  }
}
