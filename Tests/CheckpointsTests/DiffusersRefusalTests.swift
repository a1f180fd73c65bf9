import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

struct DiffusersRefusalTests {
  /// The message of the error after `damage` to a valid folder.
  private func refusal(_ damage: (TinyFolder) throws -> Void) throws -> String {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try damage(tiny)
      return tiny.refusal()
    }
  }

  @Test func foldersWithoutAnIndexAreRefused() throws {
    #expect(
      try refusal { try $0.remove("model_index.json") }
        == "model: no model_index.json, which a diffusers folder has; the folder holds safety_checker, scheduler, text_encoder, tokenizer, unet and vae"
    )
  }

  @Test(arguments: [
    ("{", "invalid JSON: the text ends too early (at byte 1)"),
    ("[]", "the file holds an array, expected an object"),
    (
      #"{"source": 1, "steps": []}"#,
      "'source' is a number, expected an object"
    ),
    (
      #"{"source": {}, "steps": [1]}"#,
      "'steps' is an array, expected a list of objects"
    ),
    (
      #"{"source": {}}"#,
      "'steps' is missing, expected a list of objects"
    ),
  ])
  func malformedProvenanceIsRefused(text: String, expected: String) throws {
    #expect(
      try refusal { try $0.write(text, "decant.json") } == "model/decant.json: " + expected)
  }

  @Test func invalidIndexesAreRefused() throws {
    #expect(
      try refusal { try $0.write("{\"unet\":", "model_index.json") }
        == "model/model_index.json: invalid JSON: the text ends too early (at byte 8)")
    #expect(
      try refusal { try $0.write("[]", "model_index.json") }
        == "model/model_index.json: the file holds an array, expected an object")
  }

  @Test(arguments: [#"["diffusers"]"#, #"["a", "b", "c"]"#, #"[null, "b"]"#, "[1, 2]", "[]"])
  func malformedIndexEntriesAreRefused(pair: String) throws {
    #expect(
      try refusal { try $0.write("{\"unet\": \(pair)}", "model_index.json") }
        == "model/model_index.json: 'unet' is not a pair of library and class, or of two nulls")
  }

  @Test func unlistedComponentsAreRefused() throws {
    #expect(
      try refusal {
        try $0.write(#"{"unet": ["diffusers", "UNet2DConditionModel"]}"#, "model_index.json")
      }
        == "model/model_index.json: no text_encoder and vae, which every model needs; listed are unet"
    )
    #expect(
      try refusal { try $0.write("{}", "model_index.json") }
        == "model/model_index.json: no text_encoder, unet and vae, which every model needs; listed are nothing"
    )
  }

  @Test(arguments: ["unet", "vae", "text_encoder", "scheduler", "tokenizer"])
  func missingFoldersAreRefused(component: String) throws {
    #expect(
      try refusal { try $0.remove(component) }
        == "model: component '\(component)' is listed in model_index.json, but there is no folder model/\(component)"
    )
  }

  @Test(arguments: [
    (
      "unet/config.json",
      "model/unet: component 'unet' has no config.json; the folder holds diffusion_pytorch_model.safetensors"
    ),
    (
      "unet/diffusion_pytorch_model.safetensors",
      "model/unet: component 'unet' has no diffusion_pytorch_model.safetensors or diffusion_pytorch_model.safetensors.index.json or diffusion_pytorch_model.bin; the folder holds config.json"
    ),
    (
      "text_encoder/model.safetensors",
      "model/text_encoder: component 'text_encoder' has no model.safetensors or model.safetensors.index.json or pytorch_model.bin; the folder holds config.json"
    ),
    (
      "scheduler/scheduler_config.json",
      "model/scheduler: component 'scheduler' has no scheduler_config.json; the folder holds nothing"
    ),
    (
      "tokenizer/merges.txt",
      "model/tokenizer: component 'tokenizer' has no vocab.json and merges.txt or tokenizer.json; the folder holds vocab.json"
    ),
  ])
  func missingFilesAreRefused(file: String, message: String) throws {
    #expect(try refusal { try $0.remove(file) } == message)
  }

  @Test(arguments: [
    ("unet/diffusion_pytorch_model", "unet/diffusion_pytorch_model.bin"),
    ("text_encoder/model", "text_encoder/pytorch_model.bin"),
  ])
  func invalidPicklesAreRefused(stem: String, pickle: String) throws {
    #expect(
      try refusal {
        try $0.remove(stem + ".safetensors")
        try $0.write("pickle", pickle)
      }
        == "model/\(pickle): a text file, expected a PyTorch file"
    )
  }

  @Test func movingAveragesAreRefused() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let text = message { _ = try Readers.all.read(tiny.path, options: ReadOptions(ema: true)) }
      #expect(
        text == tiny.path
          + ": a diffusers folder holds one set of weights, without a moving average beside it"
      )
    }
  }

  @Test func invalidConfigsAreRefused() throws {
    #expect(
      try refusal { try $0.write("{} {}", "vae/config.json") }
        == "model/vae/config.json: invalid JSON: something follows the value (at byte 3)"
    )
    #expect(
      try refusal { try $0.write("1", "scheduler/scheduler_config.json") }
        == "model/scheduler/scheduler_config.json: the file holds a number, expected an object")
  }

  @Test func twoNamesOfOneTensorAreRefused() throws {
    #expect(
      try refusal {
        try $0.weights(
          [
            ("final_layer_norm.bias", counting([1])),
            ("text_model.final_layer_norm.bias", counting([1])),
          ], "text_encoder/model.safetensors")
      }
        == "model/text_encoder/model.safetensors: tensors 'final_layer_norm.bias' and 'text_model.final_layer_norm.bias' are both 'text_model.final_layer_norm.bias', expected one"
    )
  }

  @Test func invalidSafetensorsAreRefused() throws {
    #expect(
      try refusal { try $0.write("PK", "unet/diffusion_pytorch_model.safetensors") }
        == "model/unet/diffusion_pytorch_model.safetensors: a text file, expected a safetensors file"
    )
  }

  @Test func aFolderInsteadOfAFileIsRefused() throws {
    #expect(
      try refusal {
        try $0.remove("vae/config.json")
        try $0.write("x", "vae/config.json/x")
      } == "cannot open model/vae/config.json: Is a directory")
  }
}
