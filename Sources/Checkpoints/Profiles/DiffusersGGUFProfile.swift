import ModelSources
import Support
import Tensors

/// diffusers: a whole model in one GGUF file, whose U-Net `from_single_file` loads with a
/// `GGUFQuantizationConfig`. Linear layers stay quantized in memory.
///
/// diffusers takes every type but float16 and float32 for quantized, also bfloat16, and reads
/// convolutions and vectors as plain numbers only.
struct DiffusersGGUFProfile: OutputProfile {
  let name = "diffusers"
  let title = "diffusers (GGUF)"
  var container: String { GGUFWriter().name }

  func refusal(_ model: ModelSource) -> String? {
    guard let unet = model[ComponentName.unet] else { return "a model without a U-Net" }
    return unet.guidanceRefusal
      ?? (unet.config["layers_per_block"]?.array == nil
        ? nil : "a U-Net with another number of layers in each level, in one file")
  }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? { GGMLType.nearest(to: encoding) }

  func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    !entry.encoding.isQuantized
      || component == ComponentName.unet && entry.shape.rank == 2
        && GGMLType.storesRows(of: entry)
  }

  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try LDMNames.sources(of: model, numbering: .dense)
  }

  func stored(_ entry: TensorEntry) -> TensorEntry {
    switch entry.encoding {
    case .plain(.bf16), .plain(.f64): TensorEntry(shape: entry.shape, encoding: .plain(.f32))
    default: entry
    }
  }
}
