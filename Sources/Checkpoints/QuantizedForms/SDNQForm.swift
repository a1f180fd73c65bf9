import ModelSources
import Support
import Tensors

/// int8 weights as the SDNQ package stores them, a quantization back end of diffusers.
///
/// Each quantized module has two tensors:
///
///     X.weight   I8, the shape of the weight
///     X.scale    F32, [out, 1] of a linear layer, [out, 1, 1, 1] of a convolution
///
/// The weight's value is `weight * scale`, bit for bit that of Decant's int8. Checked with SDNQ
/// 0.2.8.
struct SDNQForm: QuantizedForm {
  let method = "sdnq"
  var readable: String { "'\(method)' with 'weights_dtype' 'int8' and no groups" }

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
    for (member, expected) in [("weights_dtype", "int8" as JSONValue), ("group_size", -1)] {
      if let value = description[member], value != expected {
        throw .quantized(
          path: path, found: "'\(method)' with '\(member)' \(shown(value.text()))",
          expected: readable)
      }
    }
    return try SDNQDecodedSource(weights, path: path)
  }
}

/// A source that joins codes and scales to int8 tensors.
private struct SDNQDecodedSource: WeightSource {
  let names: [String]
  private let base: any WeightSource
  /// The name of each weight's scale.
  private let scales: [String: String]

  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` where codes and scales do not
  ///   fit.
  init(_ base: any WeightSource, path: String) throws(DiffusersError) {
    var scales: [String: String] = [:]
    for name in base.names {
      guard let entry = base.entry(name), entry.encoding == .plain(.i8) else { continue }
      let scale = SDNQForm.scaleName(name)
      let found = base.entry(scale)
      let expected = TensorEntry(shape: SDNQForm.scaleShape(entry.shape), encoding: .plain(.f32))
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
