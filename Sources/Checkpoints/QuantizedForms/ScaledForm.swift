import ModelSources
import Support
import Tensors

/// Weights beside scales that they are multiplied by, without a description of each layer:
///
///     P.weight          F8_E4M3, F8_E5M2 or I8 [out, …], or plain numbers
///     P.scale_weight    or P.weight_scale: one number, or one for each row, [out, 1]
///     P.scale_input     or P.input_scale: the scale of activations, which weights do not need
///     scaled_fp8        a marker below the prefix of a component
///
/// The first names are those of ComfyUI before `comfy_quant` tensors, the others those of
/// compressed-tensors, and of ComfyUI today. The value is `weight * scale`. Weights without a scale
/// are plain numbers. Source: ComfyUI, `convert_old_quants` in comfy/utils.py.
struct ScaledForm: QuantizedFileForm {
  private static let weight = ComfyUIForm.weight
  private static let scales = [".scale_weight", ".weight_scale"]
  private static let inputScales = [".scale_input", ".input_scale", ".output_scale"]
  private static let marker = "scaled_fp8"
  private static let codes: [ElementKind] = [.f8e4m3, .f8e5m2, .i8]
  private static let numbers: [ElementKind] = [.f16, .bf16, .f32]

  /// Whether the file scales a weight, by the name of its scale.
  static func scales(_ weight: String, in weights: any WeightSource) -> Bool {
    guard weight.hasSuffix(Self.weight) else { return false }
    let layer = weight.dropLast(Self.weight.count)
    return scales.contains { weights.entry(layer + $0) != nil }
  }

  /// Whether the file has scales of this form.
  static func marks(_ weights: any WeightSource) -> Bool {
    weights.names.contains { name in
      isInputScale(name) || scales.contains(where: name.hasSuffix)
    }
  }

  static func isInputScale(_ name: String) -> Bool { inputScales.contains(where: name.hasSuffix) }

  private static func isMarker(_ name: String) -> Bool {
    name == marker || name.hasSuffix("." + marker)
  }

  func restored(_ weights: any WeightSource, path: String) throws -> (any WeightSource)? {
    let names = weights.names
    var joints: [String: JoinedSource.Joint] = [:]
    for name in names {
      guard let ending = Self.scales.first(where: name.hasSuffix) else { continue }
      let layer = String(name.dropLast(ending.count))
      let weight = layer + Self.weight
      guard joints[weight] == nil else {
        let both = Self.scales.map { "'\(shown(layer + $0))'" }
        throw WeightError(
          location: path, tensor: weight,
          found: "two scales, \(both.joined(separator: " and ")), expected one")
      }
      joints[weight] = try Self.joint(
        weight, name, Self.codes + Self.numbers, in: weights, path: path)
    }
    let others = names.filter { Self.isMarker($0) || Self.isInputScale($0) }
    if joints.isEmpty, others.isEmpty { return nil }
    return JoinedSource(weights, joints: joints, without: others)
  }

  // MARK: - One weight

  /// Whether a tensor can be the scale of a weight of that shape.
  private static func isScale(_ entry: TensorEntry, of weight: Shape) -> Bool {
    numbers.contains { entry.encoding == .plain($0) }
      && (entry.shape.count == 1
        || entry.shape.count == weight.rows && entry.shape.rows == weight.rows)
  }

  /// The expectation of ``isScale(_:of:)`` in messages.
  private static func scaleText(rows: Int) -> String {
    "one number, or [\(rows), 1], as F32, F16 or BF16"
  }

  /// The tensor that codes and scale are joined to, in the encoding that holds it. Codes that no
  /// encoding holds become float16.
  ///
  /// - Parameters:
  ///   - kinds: the kinds that the weight may have.
  ///   - rotation: the size of groups of a row that were rotated before they were scaled; `nil` for
  ///     none.
  ///   - others: tensors beside the scale that no longer appear.
  /// - Throws: ``WeightError`` where weight and scale do not fit.
  static func joint(
    _ weight: String, _ scale: String, _ kinds: [ElementKind], rotation: Int? = nil,
    and others: [String] = [], in weights: any WeightSource, path: String
  ) throws -> JoinedSource.Joint {
    func fault(_ tensor: String, _ found: TensorEntry?, _ expected: String, beside other: String)
      -> WeightError
    {
      WeightError(
        location: path, tensor: tensor,
        found: "\(found?.text ?? "missing"), expected \(expected) beside '\(shown(other))'")
    }
    let kindText = alternatives(kinds.map(\.rawValue)) + " with an extent for the output channels"
    guard let codes = weights.entry(weight), case .plain(let kind) = codes.encoding,
      kinds.contains(kind), codes.shape.rank >= 1, codes.shape.count > 0
    else { throw fault(weight, weights.entry(weight), kindText, beside: scale) }
    guard let scales = weights.entry(scale), isScale(scales, of: codes.shape) else {
      if let found = weights.entry(scale), found.shape.rank > 1, found.shape.rowLength > 1 {
        throw QuantizedFormError.unread(
          path: path, form: "codes with a scale for each block", tensor: scale)
      }
      throw fault(
        scale, weights.entry(scale), scaleText(rows: codes.shape.rows), beside: weight)
    }
    let isSingle = scales.shape.count == 1
    // The kind of numbers that the codes become where no encoding holds them.
    let numbers = numbers.contains(kind) ? kind : .f16
    let encoding: TensorEncoding =
      switch kind {
      case .f8e4m3 where isSingle && rotation == nil: .float8
      case .i8 where rotation == nil: .int8
      case .i8 where rotation == CodeFormat.rotationSize(for: codes.shape.rowLength):
        .codes(.rotatedInt8)
      default: .plain(numbers)
      }
    return JoinedSource.Joint(
      entry: TensorEntry(shape: codes.shape, encoding: encoding), taken: [scale] + others
    ) { base in
      let codes = try base.tensor(weight)
      var factors = try base.tensor(scale).floats()
      let shape = codes.shape
      if encoding != .float8, isSingle {
        factors = [Float](repeating: factors[0], count: shape.rows)
      }
      if encoding.isQuantized {
        return StoredTensor(
          shape: shape, encoding: encoding, parts: codes.parts + [ByteSlice(factors)])
      }
      var floats = codes.floats()
      let length = shape.rowLength
      for row in 0..<shape.rows {
        for index in row * length..<(row + 1) * length { floats[index] *= factors[row] }
      }
      if let rotation {
        var span = floats.mutableSpan
        rotate(&span, groupSize: rotation)
      }
      return try StoredTensor(shape: shape, floats: floats).narrowed(
        to: numbers, named: weight, in: path, from: kind.rawValue,
        because: "weights with such scales are read as \(encoding.name)")
    }
  }
}
