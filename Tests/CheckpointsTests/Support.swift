import Checkpoints
import Foundation
import ModelSources
import Tensors
import Testing

/// The bytes of a safetensors file with a header and `data` bytes of data.
func safetensors(_ header: String, data: Int = 0, length: UInt64? = nil) -> [UInt8] {
  let text = [UInt8](header.utf8)
  let length = length ?? UInt64(text.count)
  return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + text
    + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
}

func write(_ bytes: [UInt8], to path: String) throws {
  let folder = (path as NSString).deletingLastPathComponent
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}

func write(_ text: String, to path: String) throws { try write([UInt8](text.utf8), to: path) }

func bytes(_ path: String) throws -> [UInt8] {
  [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
}

func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: path) }

func contents(_ folder: String) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
}

/// A float32 tensor whose numbers count up from `start`.
func counting(_ shape: Shape, from start: Int = 0) -> StoredTensor {
  StoredTensor(shape: shape, floats: (start..<start + shape.count).map(Float.init))
}

/// The description of the error that `body` throws.
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch {
    return "\(error)"
  }
}

/// A diffusers folder of SD 1.x with a few tensors in each component.
struct TinyFolder {
  static let index = """
    {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0",
     "feature_extractor": ["transformers", "CLIPImageProcessor"], "image_encoder": [null, null],
     "requires_safety_checker": true,
     "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
     "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
     "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
     "vae": ["diffusers", "AutoencoderKL"]}
    """
  static let unet = [
    ("conv_in.weight", counting([2, 1, 3, 3])), ("conv_in.bias", counting([2], from: 18)),
    ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight", counting([2, 2])),
  ]
  static let vae = [
    ("decoder.mid_block.attentions.0.to_q.weight", counting([2, 2])),
    ("decoder.mid_block.attentions.0.to_q.bias", counting([2])),
    ("post_quant_conv.weight", counting([2, 2, 1, 1])),
  ]
  static let textEncoder = [
    ("text_model.embeddings.token_embedding.weight", counting([4, 2])),
    ("text_model.encoder.layers.0.layer_norm1.weight", counting([2])),
    ("text_model.final_layer_norm.bias", counting([2])),
  ]
  static let stem = "unet/diffusion_pytorch_model"

  let path: String

  init(in folder: String) throws {
    path = folder + "/model"
    try write(Self.index, to: path + "/model_index.json")
    try write(
      #"{"_class_name": "UNet2DConditionModel", "time_cond_proj_dim": null}"#,
      to: path + "/unet/config.json")
    try write(#"{"_class_name": "AutoencoderKL"}"#, to: path + "/vae/config.json")
    try write(
      #"{"hidden_size": 2, "layer_norm_eps": 1e-05}"#, to: path + "/text_encoder/config.json")
    try write(
      #"{"_class_name": "PNDMScheduler", "steps_offset": 1}"#,
      to: path + "/scheduler/scheduler_config.json")
    try write(#"{"a": 0}"#, to: path + "/tokenizer/vocab.json")
    try write("#version: 0.2\n", to: path + "/tokenizer/merges.txt")
    try write("{}", to: path + "/safety_checker/config.json")
    try weights(Self.unet, Self.stem + ".safetensors")
    try weights(Self.vae, "vae/diffusion_pytorch_model.safetensors")
    try weights(Self.textEncoder, "text_encoder/model.safetensors")
  }

  func weights(_ tensors: [(String, StoredTensor)], _ file: String) throws {
    try writeSafetensors(
      MemorySource(location: "test", tensors), to: path + "/" + file, replacing: true)
  }

  func remove(_ file: String) throws {
    try FileManager.default.removeItem(atPath: path + "/" + file)
  }

  func write(_ text: String, _ file: String) throws {
    try CheckpointsTests.write(text, to: path + "/" + file)
  }

  func read(variant: String? = nil) throws -> ModelSource {
    try DiffusersFolderReader().read(path, options: ReadOptions(variant: variant))
  }

  /// The message of the reader's error, without the path of the folder.
  func refusal(variant: String? = nil) -> String {
    message { _ = try read(variant: variant) }.replacingOccurrences(of: path, with: "model")
  }

  private func write(_ text: String, to file: String) throws {
    try CheckpointsTests.write(text, to: file)
  }
}
