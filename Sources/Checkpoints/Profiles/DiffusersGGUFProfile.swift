import ModelSources
import Support
import Tensors

/// diffusers: a whole model in one GGUF file, whose U-Net `from_single_file` loads with a
/// `GGUFQuantizationConfig`. Linear layers stay quantized in memory.
///
/// In diffusers, weights of every type but float16 and float32 are quantized, also those in bfloat16.
/// It reads quantized linear layers only.
struct DiffusersGGUFProfile: OutputProfile {
  let name = "diffusers"
  let title = "diffusers (GGUF)"
  let programTitle = "diffusers"
  var container: String { GGUFWriter().name }
  var memorySwitches: MemorySwitches? { .pipeline }

  var loading: PythonLoading? { .unetOfGGUF(configIn: ComponentName.unet) }

  /// Each linear layer gets a float16 copy of its weights for its product.
  var memory: ProgramMemory {
    var memory = ProgramMemory.float16Pipeline
    memory.quantizedProducts = .widenedByLayer(bytes: 2)
    return memory
  }

  /// The conversion of names adds 1 to `layers_per_block`, which fails for every list, also one of
  /// equal numbers.
  func refusal(_ model: ModelSource) -> String? {
    model.refusal { unet in
      if let refusal = unet.guidanceRefusal { return refusal }
      return unet.config["layers_per_block"]?.array == nil
        ? nil
        : "a U-Net whose 'layers_per_block' is a list; its from_single_file expects one number"
    }
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
