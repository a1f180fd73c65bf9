internal import ModelSources
internal import Quantization
internal import Support
private import Tensors

extension QuantizationPlan {
  /// The type of the convolutions, where none is quantized and the plan of a U-Net therefore takes
  /// more than two thirds of its size in float16; `nil` elsewhere.
  var plainConvolutionType: String? {
    let kernels = entries.filter { $0.shape.rank > 2 }
    guard quantizes, !kernels.contains(where: \.scheme.encoding.isQuantized),
      let largest = kernels.max(by: { $0.shape.count < $1.shape.count })
    else { return nil }
    return 3 * byteCount > 2 * halfBytes ? largest.storedType : nil
  }

  fileprivate var byteCount: Int { entries.reduce(0) { $0 + $1.byteCount } }

  /// Bytes in float16.
  fileprivate var halfBytes: Int { entries.reduce(0) { $0 + 2 * $1.shape.count } }
}

extension QuantizationRequest {
  /// A note that the output's program reads no quantized convolutions, so that quantizing saves
  /// little, with the size in the program's other layouts, where it reads them; `nil` for other
  /// outputs and for a user's own choice of layers.
  ///
  /// - Parameters:
  ///   - plan: the plan for the output.
  ///   - model: the model before it is quantized.
  func savingNote(
    _ plan: ModelPlan, of model: ModelSource, as layout: LayoutRequest, by writer: any ModelWriter
  ) throws -> String? {
    guard chosen.isEmpty, keep.isEmpty, only.isEmpty, assign.isEmpty,
      let unet = plan[ComponentName.unet],
      let type = unet.plainConvolutionType
    else { return nil }
    let profile = try writer.profile(layout.options)
    var sizes = [
      "the U-Net takes \(formatted(bytes: unet.byteCount)) "
        + "(\(formatted(bytes: unet.halfBytes)) in f16)"
    ]
    for writer in Layouts.writers {
      for other in writer.profiles
      where other.name == profile.name && other.container != profile.container
        && other.refusal(model) == nil
      {
        let quantized = try QuantizedModel(model, self, for: other)
        guard let unet = quantized?.plan[ComponentName.unet], unet.plainConvolutionType == nil
        else { continue }
        sizes.append(
          "in a \(writer.layout) for \(other.title) it takes \(formatted(bytes: unet.byteCount))")
      }
    }
    return "convolutions stay \(type), because \(profile.title) reads them as plain numbers: "
      + sizes.joined(separator: "; ")
  }
}
