import ModelSources
import Support
import Tensors

/// Weights as the SDNQ package stores them, a quantization back end of diffusers.
///
/// ``SDNQWeight`` has the tensors of a weight that is read. Decant writes these:
///
///     X.weight   I8, the shape of the weight
///     X.scale    F32, [out, 1] of a linear layer, [out, 1, 1, 1] of a convolution
///
/// The weight's value is `weight * scale`, bit for bit that of Decant's int8. Modules with a scale
/// for each group of weights are listed in `modules_quant_config`; see ``SDNQGroups``. Checked with
/// SDNQ 0.2.8.
struct SDNQForm: QuantizedForm {
  static let method = "sdnq"
  var method: String { Self.method }
  var readable: String {
    "'\(method)' with \(SDNQType.readable) as 'weights_dtype', and scales that are not quantized"
  }

  static let weightSuffix = ".weight"
  private static let scaleSuffix = ".scale"
  /// The kinds of tensors that are numbers without a scale.
  static let numbers: [ElementKind] = [.f32, .f16, .bf16]

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
  ) throws -> any WeightSource {
    let settings = SDNQSettings(description: description)
    func isCodes(_ name: String) -> Bool {
      guard let encoding = weights.entry(name)?.encoding else { return false }
      if !name.hasSuffix(Self.weightSuffix) { return encoding == .plain(.i8) }
      return !Self.numbers.contains { encoding == .plain($0) }
    }
    var joints: [String: JoinedSource.Joint] = [:]
    for name in weights.names {
      let isScale = name.hasSuffix(Self.scaleSuffix)
      // Codes without a scale are as wrong as a scale without codes.
      guard isScale || isCodes(name) else { continue }
      let weight =
        isScale ? name.dropLast(Self.scaleSuffix.count) + Self.weightSuffix : name[...]
      if joints[String(weight)] != nil { continue }
      joints[String(weight)] = try SDNQWeight(
        String(weight), settings.settings(of: String(weight)), in: weights, path: path
      ).joint(in: weights)
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
}

extension TensorEntry {
  /// Encoding and shape in messages: `f16 [2, 3]`.
  var text: String { "\(encoding.name) \(shape)" }
}
