import ModelSources
import Support
import Tensors

/// int8 weights as SDNQ stores them, a quantization back end that stock diffusers loads once
/// `import sdnq` was said: linear layers and convolutions stay int8 in memory.
///
/// In `config.json` stands a `quantization_config`; of each quantized module there are
///
///     X.weight   I8, the shape of the weight
///     X.scale    F32, [out, 1] of a linear layer, [out, 1, 1, 1] of a convolution
///
/// and `weight * scale` is the number: Decant's int8, to the bit. Checked with SDNQ 0.2.8.
enum SDNQ {
  /// What `--for` calls it, and `quant_method`.
  static let name = "sdnq"
  static let configMember = "quantization_config"
  static let weightSuffix = ".weight"
  static let scaleSuffix = ".scale"

  /// The model with its int8 tensors as SDNQ stores them.
  static func encoded(_ model: ModelSource) -> ModelSource {
    var model = model
    for index in model.components.indices {
      let component = model.components[index]
      model.components[index].config = config(component.config, of: component.weights)
      model.components[index].weights = SDNQEncodedSource(component.weights)
    }
    return model
  }

  /// The config of a component with what SDNQ must know of its weights, where any are int8.
  static func config(_ config: JSONObject, of weights: any WeightSource) -> JSONObject {
    let names = weights.names
    let isQuantized = { (name: String) in weights.entry(name)?.encoding.isQuantized == true }
    guard names.contains(where: isQuantized) else { return config }
    // What is not listed is taken for int8 when it is a matrix.
    let plain = names.filter { name in
      name.hasSuffix(weightSuffix) && !isQuantized(name)
        && (weights.entry(name)?.shape.rank ?? 0) >= 2
    }
    var config = config
    config[configMember] = [
      "quant_method": .string(name), "weights_dtype": "int8", "group_size": -1,
      "quant_conv": true, "use_quantized_matmul": false, "add_skip_keys": false,
      "modules_to_not_convert": .array(plain.map { .string($0) }),
      "minimum_allowed_numel": 1, "minimum_allowed_channel_size": 1,
    ]
    return config
  }

  /// The scale's name beside a weight's.
  static func scaleName(_ weight: String) -> String {
    (weight.hasSuffix(weightSuffix) ? String(weight.dropLast(weightSuffix.count)) : weight)
      + scaleSuffix
  }

  /// [out, 1], or [out, 1, 1, 1].
  static func scaleShape(_ weight: Shape) -> Shape {
    Shape([weight.rows] + [Int](repeating: 1, count: max(0, weight.rank - 1)))
  }

  /// A component as it is to be used: config and weights without the traces of SDNQ.
  ///
  /// - Throws: ``DiffusersError`` for another back end, or another of SDNQ's types.
  static func decoded(
    _ config: JSONObject, _ weights: any WeightSource, path: String
  ) throws(DiffusersError) -> (config: JSONObject, weights: any WeightSource) {
    guard let written = config[configMember], !written.isNull else { return (config, weights) }
    let method = written.object?["quant_method"]?.string
    func refuse(_ found: String) -> DiffusersError {
      .quantized(
        path: path, found: found, expected: "'\(name)' with 'weights_dtype' 'int8' and no groups")
    }
    guard method == name else { throw refuse(method.map { "'\(shown($0))'" } ?? written.kind) }
    for (member, expected) in [("weights_dtype", "int8" as JSONValue), ("group_size", -1)] {
      if let value = written.object?[member], value != expected {
        throw refuse("'\(name)' with '\(member)' \(shown(value.text()))")
      }
    }
    var config = config
    config[configMember] = nil
    return (config, try SDNQDecodedSource(weights, path: path))
  }
}

/// A source with int8 tensors as codes and scales apart, both plain numbers.
struct SDNQEncodedSource: WeightSource {
  let names: [String]
  private let base: any WeightSource
  /// The tensor and its part, of those that are taken apart.
  private let parts: [String: (tensor: String, index: Int, entry: TensorEntry)]

  init(_ base: any WeightSource) {
    var names: [String] = []
    var parts: [String: (tensor: String, index: Int, entry: TensorEntry)] = [:]
    for name in base.names {
      names.append(name)
      guard let entry = base.entry(name), entry.encoding == .int8 else { continue }
      let scale = SDNQ.scaleName(name)
      names.append(scale)
      parts[name] = (name, 0, TensorEntry(shape: entry.shape, encoding: .plain(.i8)))
      parts[scale] = (
        name, 1, TensorEntry(shape: SDNQ.scaleShape(entry.shape), encoding: .plain(.f32))
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

/// A source with codes and scales put together again.
struct SDNQDecodedSource: WeightSource {
  let names: [String]
  private let base: any WeightSource
  private let scales: [String: String]

  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` where codes and scales do not fit.
  init(_ base: any WeightSource, path: String) throws(DiffusersError) {
    var scales: [String: String] = [:]
    for name in base.names {
      guard let entry = base.entry(name), entry.encoding == .plain(.i8) else { continue }
      let scale = SDNQ.scaleName(name)
      let found = base.entry(scale)
      let expected = TensorEntry(shape: SDNQ.scaleShape(entry.shape), encoding: .plain(.f32))
      // A linear layer's [out, 1] stands for a convolution's [out, 1, 1, 1] as well.
      guard let found, found.encoding == expected.encoding,
        found.shape.count == entry.shape.rows, found.shape.rows == entry.shape.rows
      else {
        throw .quantized(
          path: path,
          found: "tensor '\(shown(scale))' "
            + (found.map { "\($0.encoding.name) \($0.shape)" } ?? "missing"),
          expected: "f32 \(expected.shape) beside '\(shown(name))'")
      }
      scales[name] = scale
    }
    let taken = Set(scales.values)
    names = base.names.filter { !taken.contains($0) }
    self.base = base
    self.scales = scales
  }

  var location: String { base.location }

  func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name), scales[name] != nil else { return base.entry(name) }
    return TensorEntry(shape: entry.shape, encoding: .int8)
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let codes = try base.tensor(name)
    guard let scale = scales[name] else { return codes }
    return StoredTensor(
      shape: codes.shape, encoding: .int8, parts: codes.parts + (try base.tensor(scale)).parts)
  }
}
