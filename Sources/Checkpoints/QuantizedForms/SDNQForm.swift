import ModelSources
import Support
import Tensors

/// Weights as the SDNQ package stores them, a quantization back end of diffusers.
///
/// Each quantized module has two tensors:
///
///     X.weight   I8, the shape of the weight
///     X.scale    F32, [out, 1] of a linear layer, [out, 1, 1, 1] of a convolution
///
/// The weight's value is `weight * scale`, bit for bit that of Decant's int8. Modules with a scale
/// for each group of weights are listed in `modules_quant_config`; see ``SDNQGroups``. Checked with
/// SDNQ 0.2.8.
struct SDNQForm: QuantizedForm {
  let method = "sdnq"
  var readable: String {
    "'\(method)' with 'weights_dtype' 'int8' and no groups, where '\(SDNQGroups.configMember)' may "
      + "list layers of int8 or int4 in groups"
  }

  static let weightSuffix = ".weight"
  private static let scaleSuffix = ".scale"

  /// The name of a weight's scale.
  static func scaleName(_ weight: String) -> String {
    (weight.hasSuffix(weightSuffix) ? String(weight.dropLast(weightSuffix.count)) : weight)
      + scaleSuffix
  }

  /// The shape of a weight's scale: [out, 1], or [out, 1, 1, 1].
  static func scaleShape(_ weight: Shape) -> Shape {
    Shape([weight.rows] + [Int](repeating: 1, count: max(0, weight.rank - 1)))
  }

  func restored(
    _ weights: any WeightSource, described description: JSONObject, path: String
  ) throws(DiffusersError) -> any WeightSource {
    let members: [(String, [JSONValue])] = [
      ("weights_dtype", ["int8"]), ("group_size", [-1]), ("modules_dtype_dict", [[:], .null]),
    ]
    for (member, expected) in members {
      if let value = description[member], !expected.contains(value) {
        throw .quantized(
          path: path, found: "'\(method)' with '\(member)' \(shown(value.text()))",
          expected: readable)
      }
    }
    var grouped: [String: SDNQGroups] = [:]
    for (tensor, value) in description[SDNQGroups.configMember]?.object?.members ?? [] {
      guard let groups = SDNQGroups(value) else {
        throw .quantized(
          path: path, found: "'\(method)' with '\(shown(tensor))' \(shown(value.text()))",
          expected: SDNQGroups.readable)
      }
      grouped[tensor] = groups
    }
    var joints = try Self.joints(weights, without: grouped, path: path)
    for (tensor, groups) in grouped.sorted(by: { $0.key < $1.key }) {
      joints[tensor] = try groups.joint(tensor, weights, path: path)
    }
    return JoinedSource(weights, joints: joints)
  }

  /// The codes and the scales of a quantized tensor, both stored as plain numbers.
  static func pieces(_ name: String, _ entry: TensorEntry) -> [SplitSource.Piece] {
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
