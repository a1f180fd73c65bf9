import Formats
import ModelSources
import Support
import Tensors

/// ComfyUI without other nodes: a single file with int8 or float8 linear layers in the U-Net, which
/// ComfyUI 0.27 loads. stable-diffusion.cpp 97d2990 loads the int8 layers, and ignores the scales of
/// float8 layers.
///
/// A quantized linear layer `P` has three tensors beside its bias:
///
///     P.weight         I8 [out, in]    F8_E4M3 [out, in]
///     P.weight_scale   F32 [out, 1]    F32 []
///     P.comfy_quant    U8 [n], the text {"format":"int8_tensorwise"} or {"format":"float8_e4m3fn"}
///
/// The weight's value is `weight * weight_scale`, bit for bit that of Decant's int8 and fp8. With
/// `"convrot":true`, groups of `"convrot_groupsize"` weights of a row are rotated, as in
/// `int8-convrot`. ComfyUI quantizes the activations of each row as it runs. It does not quantize
/// convolutions or text encoders: these stay float16.
struct ComfyUIProfile: OutputProfile {
  let name = "comfyui"
  let title = "ComfyUI"
  var container: String { CheckpointWriter().name }

  /// Int8 layers multiply int8 activations by int8 weights. Float8 layers get a float16 copy of
  /// their weights, as on GPUs without float8 arithmetic; others need less.
  var memory: ProgramMemory {
    var memory = ComfyUIFacts.memory
    memory.quantizedProducts = .integers
    memory.float8Products = .widenedByLayer(bytes: 2)
    return memory
  }

  func refusal(_ model: ModelSource) -> String? {
    model.refusal { unet in ComfyUIFacts.refusal(of: unet, in: model) }
  }

  func notes(_ model: ModelSource) -> [String] {
    ComfyUIFacts.predictionNotes(model) + model.guidanceNotes(for: [title])
  }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? {
    !encoding.isQuantized || ComfyUIForm.encodings.contains(encoding) ? encoding : nil
  }

  func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    !entry.encoding.isQuantized || component == ComponentName.unet && entry.shape.rank == 2
  }

  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try CheckpointProfile().tensors(of: model, options: options).map {
      SplitSource($0, split: ComfyUIForm.pieces)
    }
  }
}
