import ModelSources
import Support
import Tensors

/// diffusers with the SDNQ package, a quantization back end that stock diffusers loads after
/// `import sdnq`. Linear layers and convolutions stay int8 or int4 in memory. ``SDNQForm`` has the
/// layout.
struct SDNQProfile: OutputProfile {
  let name = "sdnq"
  let title = "diffusers with SDNQ"
  let programTitle = "SDNQ"
  var container: String { DiffusersFolderWriter().name }
  var memorySwitches: MemorySwitches? { .pipeline }

  /// A float32 product of a layer's codes and scales, and its float16 copy.
  var memory: ProgramMemory {
    var memory = ProgramMemory.float16Pipeline
    memory.quantizedProducts = .widenedByLayer(bytes: 6)
    return memory
  }

  var loading: PythonLoading? { .pipeline(importing: "sdnq") }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? {
    !encoding.isQuantized || encoding == .int8 || SDNQGroups(encoding) != nil ? encoding : nil
  }

  func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    guard let groups = SDNQGroups(entry.encoding) else { return true }
    return groups.divide(entry.shape)
  }

  /// SDNQ groups the input channels of each place of a kernel, Decant consecutive weights.
  func substitute(for entry: TensorEntry, of tensor: String, in component: String)
    -> TensorEncoding?
  { .int8 }

  /// The model with its quantized tensors as SDNQ stores them.
  func prepared(_ model: ModelSource) -> ModelSource {
    var model = model
    for index in model.components.indices {
      let component = model.components[index]
      model.components[index].config = config(component.config, of: component.weights)
      model.components[index].weights = SplitSource(component.weights, split: SDNQForm.pieces)
    }
    return model
  }

  /// The config of a component with SDNQ's description of its weights, where any are quantized.
  private func config(_ config: JSONObject, of weights: any WeightSource) -> JSONObject {
    guard weights.hasQuantizedTensors else { return config }
    let names = weights.names
    // SDNQ expects int8 in every weight with two or more extents that is not listed.
    let plain = names.filter { name in
      name.hasSuffix(SDNQForm.weightSuffix) && !weights.isQuantized(name)
        && (weights.entry(name)?.shape.rank ?? 0) >= 2
    }
    var quantization: JSONObject = [
      "quant_method": .string(SDNQForm().method), "weights_dtype": "int8", "group_size": -1,
      "quant_conv": true, "use_quantized_matmul": false, "add_skip_keys": false,
      "modules_to_not_convert": .strings(plain),
      "minimum_allowed_numel": 1, "minimum_allowed_channel_size": 1,
    ]
    let grouped: [(String, JSONValue)] = names.compactMap { name in
      weights.entry(name).flatMap { SDNQGroups($0.encoding) }.map { (name, $0.json) }
    }
    if !grouped.isEmpty { quantization[SDNQGroups.configMember] = .object(JSONObject(grouped)) }
    var config = config
    config[DiffusersLayout.quantizationMember] = .object(quantization)
    return config
  }
}
