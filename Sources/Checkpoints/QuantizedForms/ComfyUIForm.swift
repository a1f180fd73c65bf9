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
    func fault(_ tensor: String, _ found: String) -> WeightError {
      WeightError(location: path, tensor: tensor, found: found)
    }
    func entry(_ name: String, _ isExpected: (TensorEntry) -> Bool, _ expected: String) throws
      -> TensorEntry
    {
      guard let entry = weights.entry(name) else {
        throw fault(name, "missing, expected \(expected) beside '\(shown(description))'")
      }
      guard isExpected(entry) else {
        throw fault(name, "\(entry.encoding.name) \(entry.shape), expected \(expected)")
      }
      return entry
    }
    let text = try weights.tensor(description).parts[0]
    let form = try Form(text, at: (path, description)) { fault(description, $0) }
    if form.isWideFloat8 {
      return try ScaledForm.joint(
        weight, scale, [.f8e5m2], and: [description], in: weights, path: path)
    }
    let kind: ElementKind = form.isInt8 ? .i8 : .f8e4m3
    let codes = try entry(
      weight,
      {
        $0.encoding == .plain(kind) && $0.shape.count > 0
          && (form.rotationSize == nil ? $0.shape.rank >= 2 : $0.shape.rank == 2)
      }, "\(kind.rawValue) [out, in]")
    let rows = codes.shape.rows
    let scales = try entry(
      scale, { ScaledForm.isScale($0, of: codes.shape) }, ScaledForm.scaleText(rows: rows))
    if let size = form.rotationSize, codes.shape.rowLength % size != 0 {
      throw fault(
        description,
        "rotated groups of \(size) weights, which do not divide rows of \(codes.shape.rowLength)")
    }
    let kept = form.encoding(of: codes.shape, scales: scales.shape.count)
    return JoinedSource.Joint(
      entry: TensorEntry(shape: codes.shape, encoding: kept ?? .plain(.f16)),
      taken: [scale, description]
    ) { base in
      let codes = try base.tensor(weight)
      var values = try base.tensor(scale).floats()
      func layer(_ encoding: TensorEncoding) -> StoredTensor {
        StoredTensor(
          shape: codes.shape, encoding: encoding, parts: codes.parts + [ByteSlice(values)])
      }
      if kept == .float8 { return layer(.float8) }
      if values.count != rows { values = [Float](repeating: values[0], count: rows) }
      if let kept { return layer(kept) }
      var floats = form.isInt8 ? layer(.int8).floats() : float8Rows(codes, scales: values)
      if let size = form.rotationSize {
        var span = floats.mutableSpan
        rotate(&span, groupSize: size)
      }
      return try StoredTensor(shape: codes.shape, floats: floats).half(
        named: weight, in: path, from: kind.rawValue,
        because: "layers with such groups or scales are read as f16")
    }
  }

  /// The numbers of float8 codes with a scale for each row, which no encoding has.
  private static func float8Rows(_ codes: StoredTensor, scales: [Float]) -> [Float] {
    scales.enumerated().flatMap { row, scale in
      let codes = codes.rows(row..<row + 1)
      return StoredTensor(
        shape: codes.shape, encoding: .float8, parts: codes.parts + [ByteSlice([scale])]
      ).floats()
    }
  }
}

extension ComfyUIForm {
  /// What the JSON text of a `comfy_quant` tensor says.
  private struct Form {
    let isInt8: Bool
    let isWideFloat8: Bool
    /// The weights in a rotated group; `nil` where the weights are not rotated.
    let rotationSize: Int?

    /// The encoding that holds a layer with codes of that shape; `nil` where none does.
    func encoding(of codes: Shape, scales: Int) -> TensorEncoding? {
      guard isInt8 else { return rotationSize == nil && scales == 1 ? .float8 : nil }
      guard let rotationSize else { return .int8 }
      let own = CodeFormat.rotationSize(for: codes.rowLength)
      return rotationSize == own ? .codes(.rotatedInt8) : nil
    }

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
      guard let name = format.string, [int8, float8, wideFloat8].contains(name) else {
        throw fault("'format' \(shown(format.text())), expected \(readable)")
      }
      isInt8 = name == int8
      isWideFloat8 = name == wideFloat8
      // ComfyUI finds the settings here as well.
      let settings = object["params"]?.object
      guard object["convrot"] ?? settings?["convrot"] == true else {
        rotationSize = nil
        return
      }
      guard !isWideFloat8 else {
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
