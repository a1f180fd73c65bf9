import Formats
package import ModelSources
import Support
package import Tensors

/// Quantized linear layers as ComfyUI stores them in single files; ``ComfyUIProfile`` has the layout.
package struct ComfyUIForm: QuantizedFileForm {
  package init() {}

  static let weight = ".weight"
  private static let scale = ".weight_scale"
  static let description = ".comfy_quant"
  private static let int8 = "int8_tensorwise"
  private static let float8 = "float8_e4m3fn"
  private static let wideFloat8 = "float8_e5m2"

  private static let kinds: [String: ElementKind] = [
    int8: .i8, float8: .f8e4m3, wideFloat8: .f8e5m2,
  ]

  static let readable = "'format' '\(int8)', '\(float8)' or '\(wideFloat8)'"

  /// The encodings of layers that the form holds.
  static let encodings: [TensorEncoding] = [.int8, .float8, .codes(.rotatedInt8)]

  /// The tensors of a quantized layer.
  package static func pieces(_ name: String, _ entry: TensorEntry) -> [SplitSource.Piece] {
    guard encodings.contains(entry.encoding), name.hasSuffix(weight) else { return [] }
    let layer = String(name.dropLast(weight.count))
    let isInt8 = entry.encoding != .float8
    var form: JSONObject = ["format": .string(isInt8 ? int8 : float8)]
    if entry.encoding == .codes(.rotatedInt8),
      let size = CodeFormat.rotationSize(for: entry.shape.rowLength)
    {
      // stable-diffusion.cpp has no default for the size.
      form["convrot"] = true
      form["convrot_groupsize"] = .integer(size)
    }
    let text = Array(JSONValue.object(form).text().utf8)
    return [
      .init(
        name: name,
        entry: TensorEntry(shape: entry.shape, encoding: .plain(isInt8 ? .i8 : .f8e4m3)),
        contents: .part(0)),
      .init(
        name: layer + scale,
        entry: TensorEntry(shape: isInt8 ? [entry.shape.rows, 1] : [], encoding: .plain(.f32)),
        contents: .part(1)),
      .init(
        name: layer + description,
        entry: TensorEntry(shape: [text.count], encoding: .plain(.u8)), contents: .bytes(text)),
    ]
  }

  package func restored(_ weights: any WeightSource, path: String) throws -> (any WeightSource)? {
    let joints = try Self.joints(weights, path: path)
    return joints.isEmpty ? nil : JoinedSource(weights, joints: joints)
  }

  /// The tensors that the layers' codes and scales are joined to.
  private static func joints(
    _ weights: any WeightSource, path: String
  ) throws -> [String: JoinedSource.Joint] {
    var joints: [String: JoinedSource.Joint] = [:]
    for name in weights.names where name.hasSuffix(description) {
      let layer = String(name.dropLast(description.count))
      joints[layer + weight] = try joint(layer, weights, path: path)
    }
    return joints
  }

  /// The tensor that the tensors of a layer are joined to, in the encoding that holds it. Layers
  /// that no encoding holds, such as rotated ones in other groups than Decant's, become float16.
  private static func joint(
    _ layer: String, _ weights: any WeightSource, path: String
  ) throws -> JoinedSource.Joint {
    let (weight, scale, description) = (layer + weight, layer + scale, layer + description)
    func fault(_ found: String) -> WeightError {
      WeightError(location: path, tensor: description, found: found)
    }
    let text = try weights.tensor(description).parts[0]
    let form = try Form(text, at: (path, description), fault: fault)
    if let size = form.rotationSize, let shape = weights.entry(weight)?.shape {
      guard shape.rank == 2 else {
        throw fault("rotated groups of a weight \(shape), expected [out, in]")
      }
      guard shape.rowLength % size == 0 else {
        throw fault(
          "rotated groups of \(size) weights, which do not divide rows of \(shape.rowLength)")
      }
    }
    return try ScaledForm.joint(
      weight, scale, [form.kind], rotation: form.rotationSize, and: [description], in: weights,
      path: path)
  }
}

extension ComfyUIForm {
  /// What the JSON text of a `comfy_quant` tensor says.
  private struct Form {
    /// The kind of the codes.
    let kind: ElementKind
    /// The weights in a rotated group; `nil` where the weights are not rotated.
    let rotationSize: Int?

    init(
      _ bytes: ByteSlice, at place: (path: String, tensor: String), fault: (String) -> WeightError
    ) throws {
      guard let object = try? JSONValue(parsing: bytes.bytes).object else {
        throw fault("not a JSON object")
      }
      let format = object["format"] ?? .null
      if let foreign = format.string.flatMap(ForeignForms.form(format:)) {
        throw QuantizedFormError.unread(
          path: place.path, form: foreign.name, tensor: place.tensor)
      }
      guard let kind = format.string.flatMap({ ComfyUIForm.kinds[$0] }) else {
        throw fault("'format' \(shown(format.text())), expected \(readable)")
      }
      self.kind = kind
      // ComfyUI finds the settings here as well.
      let settings = object["params"]?.object
      guard object["convrot"] ?? settings?["convrot"] == true else {
        rotationSize = nil
        return
      }
      guard kind != .f8e5m2 else {
        throw QuantizedFormError.unread(
          path: place.path, form: "\(wideFloat8) in rotated groups (ConvRot)", tensor: place.tensor)
      }
      let size = object["convrot_groupsize"] ?? settings?["convrot_groupsize"] ?? 256
      guard let count = size.integer, count >= 4, count.nonzeroBitCount == 1,
        count.trailingZeroBitCount % 2 == 0
      else {
        throw fault("'convrot_groupsize' \(shown(size.text())), expected a power of 4")
      }
      rotationSize = count
    }
  }
}
