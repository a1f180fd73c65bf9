import Formats
import ModelSources
import Support
import Tensors

/// ComfyUI with the ComfyUI-GGUF nodes: a U-Net in a GGUF file.
///
/// Quantized convolution kernels are stored as rows of 256 numbers, so that rows are whole blocks.
/// Metadata states their original shapes.
struct ComfyUIGGUFProfile: OutputProfile {
  let name = "comfyui"
  let title = "ComfyUI-GGUF"
  var container: String { GGUFWriter().name }

  /// ComfyUI-GGUF makes a float16 copy of a layer's weights for its product.
  var memory: ProgramMemory {
    var memory = ComfyUIFacts.memory
    memory.quantizedProducts = .widenedByLayer(bytes: 2)
    return memory
  }

  /// The metadata key before a tensor's name with the tensor's original extents.
  private static let originalShape = "comfy.gguf.orig_shape."

  /// Numbers in a row of a convolution kernel.
  private static let row = 256

  func refusal(_ model: ModelSource) -> String? {
    model.refusal { unet in ComfyUIFacts.refusal(of: unet, in: model) }
  }

  func notes(_ model: ModelSource) -> [String] {
    ComfyUIFacts.predictionNotes(model) + model.guidanceNotes(for: [title])
  }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? { GGMLType.nearest(to: encoding) }

  func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    guard entry.encoding.isQuantized else { return true }
    let precise = ["time_embedding.", "add_embedding.", "conv_in.", "conv_out."]
    let shape = entry.shape
    return component == ComponentName.unet && shape.rank >= 2 && GGMLType.storesRows(of: entry)
      && (shape.rank == 2 || shape.count % Self.row == 0)
      && !precise.contains(where: tensor.hasPrefix)
  }

  func prepared(_ model: ModelSource) -> ModelSource {
    var alone = model
    alone.components = model.components.filter { $0.name == ComponentName.unet }
    return alone
  }

  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try LDMNames.sources(of: model, numbering: .dense).map {
      UnprefixedSource($0, prefix: LDMKeys.unet)
    }
  }

  /// ComfyUI-GGUF does not read float64, and it expects vectors in float32.
  func stored(_ entry: TensorEntry) -> TensorEntry {
    let shape = entry.shape
    if entry.encoding.isQuantized {
      return TensorEntry(
        shape: shape.rank > 2 ? [shape.count / Self.row, Self.row] : shape,
        encoding: entry.encoding)
    }
    let isWidened =
      entry.encoding == .plain(.f64)
      || (shape.rank < 2 && [.plain(.f16), .plain(.bf16)].contains(entry.encoding))
    return isWidened ? TensorEntry(shape: shape, encoding: .plain(.f32)) : entry
  }

  func metadata(of model: ModelSource, tensors: [any WeightSource]) -> JSONObject {
    var metadata: JSONObject = [:]
    for source in tensors {
      for name in source.names {
        guard let entry = source.entry(name), stored(entry).shape != entry.shape else { continue }
        metadata[Self.originalShape + name] = .integers(entry.shape.extents)
      }
    }
    return metadata
  }

  func originalExtents(of tensor: String, metadata: JSONObject) -> JSONValue? {
    metadata[Self.originalShape + tensor]
  }
}
