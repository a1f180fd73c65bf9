import ModelSources
import Support
import Tensors

/// diffusers with the SDNQ package, a quantization back end that stock diffusers loads after
/// `import sdnq`. Linear layers and convolutions stay int8 in memory. ``SDNQForm`` has the layout.
struct SDNQProfile: OutputProfile {
  let name = "sdnq"
  let title = "diffusers with SDNQ"
  var container: String { DiffusersFolderWriter().name }

  /// A float32 product of a layer's codes and scales, and its float16 copy.
  var memory: ProgramMemory {
    var memory = ProgramMemory.float16Pipeline
    memory.quantizedProducts = .widenedByLayer(bytes: 6)
    return memory
  }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? {
    encoding.isQuantized && encoding != .int8 ? nil : encoding
  }

  /// The model with its int8 tensors as SDNQ stores them.
  func prepared(_ model: ModelSource) -> ModelSource {
    var model = model
    for index in model.components.indices {
      let component = model.components[index]
      model.components[index].config = config(component.config, of: component.weights)
      model.components[index].weights = SDNQEncodedSource(component.weights)
    }
    return model
  }

  /// The config of a component with SDNQ's description of its weights, where any are int8.
  private func config(_ config: JSONObject, of weights: any WeightSource) -> JSONObject {
    let names = weights.names
    let isQuantized = { (name: String) in weights.entry(name)?.encoding.isQuantized == true }
    guard names.contains(where: isQuantized) else { return config }
    // SDNQ takes every weight with two or more extents for int8 that is not listed.
    let plain = names.filter { name in
      name.hasSuffix(SDNQForm.weightSuffix) && !isQuantized(name)
        && (weights.entry(name)?.shape.rank ?? 0) >= 2
    }
    var config = config
    config[DiffusersLayout.quantizationMember] = [
      "quant_method": .string(SDNQForm().method), "weights_dtype": "int8", "group_size": -1,
      "quant_conv": true, "use_quantized_matmul": false, "add_skip_keys": false,
      "modules_to_not_convert": .array(plain.map { .string($0) }),
      "minimum_allowed_numel": 1, "minimum_allowed_channel_size": 1,
    ]
    return config
  }
}

/// A source that splits int8 tensors into codes and scales, both stored as plain numbers.
private struct SDNQEncodedSource: WeightSource {
  let names: [String]
  private let base: any WeightSource
  /// The base tensor and the part of it that each split tensor holds.
  private let parts: [String: (tensor: String, index: Int, entry: TensorEntry)]

  init(_ base: any WeightSource) {
    var names: [String] = []
    var parts: [String: (tensor: String, index: Int, entry: TensorEntry)] = [:]
    for name in base.names {
      names.append(name)
      guard let entry = base.entry(name), entry.encoding == .int8 else { continue }
      let scale = SDNQForm.scaleName(name)
      names.append(scale)
      parts[name] = (name, 0, TensorEntry(shape: entry.shape, encoding: .plain(.i8)))
      parts[scale] = (
        name, 1, TensorEntry(shape: SDNQForm.scaleShape(entry.shape), encoding: .plain(.f32))
      )
    }
    self.base = base
    self.names = names
    self.parts = parts
  }

  var location: String { base.location }

  func entry(_ name: String) -> TensorEntry? { parts[name]?.entry ?? base.entry(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    guard let part = parts[name] else { return try base.tensor(name) }
    let tensor = try base.tensor(part.tensor)
    return StoredTensor(
      shape: part.entry.shape, encoding: part.entry.encoding, parts: [tensor.parts[part.index]])
  }
}
