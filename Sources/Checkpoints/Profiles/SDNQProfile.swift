import ModelSources
import Support
import Tensors

/// diffusers with the SDNQ package, a quantization back end that stock diffusers loads after
/// `import sdnq`. Linear layers and convolutions stay int8 or int4 in memory.
///
/// `config.json` has a member `quantization_config`. Each quantized module has two tensors:
///
///     X.weight   I8, the shape of the weight
///     X.scale    F32, [out, 1] of a linear layer, [out, 1, 1, 1] of a convolution
///
/// The weight's value is `weight * scale`, bit for bit that of Decant's int8. Modules with a scale
/// for each group of weights are listed in `modules_quant_config`; see ``SDNQGroups``. Checked with
/// SDNQ 0.2.8.
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
      model.components[index].weights = SplitSource(component.weights, split: Self.pieces)
    }
    return model
  }

  /// The config of a component with SDNQ's description of its weights, where any are quantized.
  private func config(_ config: JSONObject, of weights: any WeightSource) -> JSONObject {
    let names = weights.names
    let isQuantized = { (name: String) in weights.entry(name)?.encoding.isQuantized == true }
    guard names.contains(where: isQuantized) else { return config }
    // SDNQ takes every weight with two or more extents for int8 that is not listed.
    let plain = names.filter { name in
      name.hasSuffix(Self.weightSuffix) && !isQuantized(name)
        && (weights.entry(name)?.shape.rank ?? 0) >= 2
    }
    var quantization: JSONObject = [
      "quant_method": .string(name), "weights_dtype": "int8", "group_size": -1,
      "quant_conv": true, "use_quantized_matmul": false, "add_skip_keys": false,
      "modules_to_not_convert": .array(plain.map { .string($0) }),
      "minimum_allowed_numel": 1, "minimum_allowed_channel_size": 1,
    ]
    let grouped: [(String, JSONValue)] = names.compactMap { name in
      weights.entry(name).flatMap { SDNQGroups($0.encoding) }.map { (name, $0.json) }
    }
    if !grouped.isEmpty { quantization[SDNQGroups.configMember] = .object(JSONObject(grouped)) }
    var config = config
    config[Self.configMember] = .object(quantization)
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
    let members: [(String, [JSONValue])] = [
      ("weights_dtype", ["int8"]), ("group_size", [-1]), ("modules_dtype_dict", [[:], .null]),
    ]
    for (member, expected) in members {
      if let value = written[member], !expected.contains(value) {
        throw DiffusersError.quantized(
          path: path, found: "'\(name)' with '\(member)' \(shown(value.text()))",
          expected: readable ?? "")
      }
    }
    var grouped: [String: SDNQGroups] = [:]
    for (tensor, value) in written[SDNQGroups.configMember]?.object?.members ?? [] {
      guard let groups = SDNQGroups(value) else {
        throw DiffusersError.quantized(
          path: path, found: "'\(name)' with '\(shown(tensor))' \(shown(value.text()))",
          expected: SDNQGroups.readable)
      }
      grouped[tensor] = groups
    }
    var joints = try Self.joints(weights, without: grouped, path: path)
    for (tensor, groups) in grouped {
      joints[tensor] = try groups.joint(tensor, weights, path: path)
    }
    var config = metadata
    config[Self.configMember] = nil
    return (config, JoinedSource(weights, joints: joints))
  }

  /// The codes and the scales of a quantized tensor, both stored as plain numbers.
  private static func pieces(_ name: String, _ entry: TensorEntry) -> [SplitSource.Piece] {
    if let groups = SDNQGroups(entry.encoding) { return groups.pieces(name, entry.shape) }
    guard entry.encoding == .int8 else { return [] }
    let scales = TensorEntry(shape: scaleShape(entry.shape), encoding: .plain(.f32))
    return [
      .init(
        name: name, entry: TensorEntry(shape: entry.shape, encoding: .plain(.i8)),
        contents: .part(0)),
      .init(name: scaleName(name), entry: scales, contents: .part(1)),
    ]
  }

  /// The int8 tensors that codes and scales are joined to, but those with groups.
  ///
  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` where codes and scales do not
  ///   fit.
  private static func joints(
    _ weights: any WeightSource, without grouped: [String: SDNQGroups], path: String
  ) throws(DiffusersError) -> [String: JoinedSource.Joint] {
    var joints: [String: JoinedSource.Joint] = [:]
    for name in weights.names where grouped[name] == nil {
      guard let entry = weights.entry(name), entry.encoding == .plain(.i8) else { continue }
      let scale = scaleName(name)
      let found = weights.entry(scale)
      let expected = TensorEntry(shape: scaleShape(entry.shape), encoding: .plain(.f32))
      // A convolution's scale may have the shape of a linear layer's, [out, 1].
      guard let found, found.encoding == expected.encoding,
        found.shape.count == entry.shape.rows, found.shape.rows == entry.shape.rows
      else {
        throw .misfit(scale, found, expected.text, beside: name, path: path)
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

extension DiffusersError {
  /// A tensor of a quantized module that does not fit the tensor beside it.
  static func misfit(
    _ tensor: String, _ found: TensorEntry?, _ expected: String, beside other: String,
    path: String
  ) -> DiffusersError {
    .quantized(
      path: path, found: "tensor '\(shown(tensor))' \(found?.text ?? "missing")",
      expected: "\(expected) beside '\(shown(other))'")
  }
}

extension TensorEntry {
  /// Encoding and shape in messages: `f16 [2, 3]`.
  var text: String { "\(encoding.name) \(shape)" }
}
