import ModelSources
import Support
import Tensors

/// diffusers with the SDNQ package, a quantization back end that stock diffusers loads after
/// `import sdnq`. Linear layers and convolutions stay int8 in memory.
///
/// `config.json` has a member `quantization_config`. Each quantized module has two tensors:
///
///     X.weight   I8, the shape of the weight
///     X.scale    F32, [out, 1] of a linear layer, [out, 1, 1, 1] of a convolution
///
/// The weight's value is `weight * scale`, bit for bit that of Decant's int8. Checked with SDNQ
/// 0.2.8.
struct SDNQProfile: OutputProfile {
  /// The profile's name, and the value of `quant_method`.
  let name = "sdnq"
  let title = "diffusers with SDNQ"
  var container: String { DiffusersFolderWriter().name }

  /// The member of a component's config that describes its quantized weights.
  static let configMember = "quantization_config"
  private static let weightSuffix = ".weight"
  private static let scaleSuffix = ".scale"

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? {
    encoding.isQuantized && encoding != .int8 ? nil : encoding
  }

  /// The model with its int8 tensors as SDNQ stores them.
  func prepared(_ model: ModelSource) -> ModelSource {
    var model = model
    for index in model.components.indices {
      let component = model.components[index]
      model.components[index].config = config(component.config, of: component.weights)
      model.components[index].weights = SplitSource(component.weights, split: Self.pieces)
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
      name.hasSuffix(Self.weightSuffix) && !isQuantized(name)
        && (weights.entry(name)?.shape.rank ?? 0) >= 2
    }
    var config = config
    config[Self.configMember] = [
      "quant_method": .string(name), "weights_dtype": "int8", "group_size": -1,
      "quant_conv": true, "use_quantized_matmul": false, "add_skip_keys": false,
      "modules_to_not_convert": .array(plain.map { .string($0) }),
      "minimum_allowed_numel": 1, "minimum_allowed_channel_size": 1,
    ]
    return config
  }

  /// The name of a weight's scale.
  static func scaleName(_ weight: String) -> String {
    (weight.hasSuffix(weightSuffix) ? String(weight.dropLast(weightSuffix.count)) : weight)
      + scaleSuffix
  }

  /// The shape of a weight's scale: [out, 1], or [out, 1, 1, 1].
  static func scaleShape(_ weight: Shape) -> Shape {
    Shape([weight.rows] + [Int](repeating: 1, count: max(0, weight.rank - 1)))
  }

  var readable: String? { "'\(name)' with 'weights_dtype' 'int8' and no groups" }

  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` for other types of SDNQ.
  func restored(
    _ metadata: JSONObject, _ weights: any WeightSource, path: String
  ) throws -> (metadata: JSONObject, weights: any WeightSource)? {
    guard let written = metadata[Self.configMember]?.object,
      written["quant_method"]?.string == name
    else { return nil }
    for (member, expected) in [("weights_dtype", "int8" as JSONValue), ("group_size", -1)] {
      if let value = written[member], value != expected {
        throw DiffusersError.quantized(
          path: path, found: "'\(name)' with '\(member)' \(shown(value.text()))",
          expected: readable ?? "")
      }
    }
    var config = metadata
    config[Self.configMember] = nil
    return (config, JoinedSource(weights, joints: try Self.joints(weights, path: path)))
  }

  /// The codes and the scales of an int8 tensor, both stored as plain numbers.
  private static func pieces(_ name: String, _ entry: TensorEntry) -> [SplitSource.Piece] {
    guard entry.encoding == .int8 else { return [] }
    let scales = TensorEntry(shape: scaleShape(entry.shape), encoding: .plain(.f32))
    return [
      .init(
        name: name, entry: TensorEntry(shape: entry.shape, encoding: .plain(.i8)),
        contents: .part(0)),
      .init(name: scaleName(name), entry: scales, contents: .part(1)),
    ]
  }

  /// The int8 tensors that codes and scales are joined to.
  ///
  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` where codes and scales do not
  ///   fit.
  private static func joints(
    _ weights: any WeightSource, path: String
  ) throws(DiffusersError) -> [String: JoinedSource.Joint] {
    var joints: [String: JoinedSource.Joint] = [:]
    for name in weights.names {
      guard let entry = weights.entry(name), entry.encoding == .plain(.i8) else { continue }
      let scale = scaleName(name)
      let found = weights.entry(scale)
      let expected = TensorEntry(shape: scaleShape(entry.shape), encoding: .plain(.f32))
      // A convolution's scale may have the shape of a linear layer's, [out, 1].
      guard let found, found.encoding == expected.encoding,
        found.shape.count == entry.shape.rows, found.shape.rows == entry.shape.rows
      else {
        throw .quantized(
          path: path,
          found: "tensor '\(shown(scale))' "
            + (found.map { "\($0.encoding.name) \($0.shape)" } ?? "missing"),
          expected: "f32 \(expected.shape) beside '\(shown(name))'")
      }
      joints[name] = JoinedSource.Joint(
        entry: TensorEntry(shape: entry.shape, encoding: .int8), taken: [scale]
      ) { base in
        StoredTensor(
          shape: entry.shape, encoding: .int8,
          parts: try base.tensor(name).parts + base.tensor(scale).parts)
      }
    }
    return joints
  }
}
