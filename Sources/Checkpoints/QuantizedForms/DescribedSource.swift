import ModelSources
import Support
import Tensors

/// The tensors of a file whose header describes its quantized layers, with a `comfy_quant` tensor
/// for each, as ComfyUI adds them when it reads such a file:
///
///     "_quantization_metadata": "{\"layers\": {\"LAYER\": {\"format\": \"float8_e4m3fn\"}}}"
///
/// Source: ComfyUI, `convert_old_quants` in comfy/utils.py.
struct DescribedSource: WeightSource {
  let names: [String]
  private let base: any WeightSource
  private let descriptions: [String: StoredTensor]

  private static let member = "_quantization_metadata"

  /// `nil` where the header describes no layer.
  ///
  /// - Throws: ``WeightError`` for a description that is not of that form.
  init?(_ base: any WeightSource, metadata: JSONObject, path: String) throws {
    guard let written = metadata[Self.member]?.string else { return nil }
    guard let value = try? JSONValue(parsing: written), let layers = value.object?["layers"]?.object
    else {
      throw WeightError(
        location: path, tensor: Self.member,
        found: "the header's text has no object 'layers'")
    }
    let prefix = Self.prefix(of: layers.members.map(\.key), in: base)
    var descriptions: [String: StoredTensor] = [:]
    var added: [String] = []
    for (layer, description) in layers.members {
      let name = prefix + layer + ComfyUIForm.description
      // A file of some components may describe the layers of others.
      guard base.entry(prefix + layer + ComfyUIForm.weight) != nil, base.entry(name) == nil
      else { continue }
      let text = Array(description.text().utf8)
      descriptions[name] = StoredTensor(
        shape: [text.count], encoding: .plain(.u8), parts: [ByteSlice(text)])
      added.append(name)
    }
    if added.isEmpty { return nil }
    self.base = base
    self.descriptions = descriptions
    names = base.names + added
  }

  /// What precedes the layers' names in the file. ComfyUI compares them with names below a prefix.
  private static func prefix(of layers: [String], in base: any WeightSource) -> String {
    guard let first = layers.first, base.entry(first + ComfyUIForm.weight) == nil else { return "" }
    let ending = "." + first + ComfyUIForm.weight
    guard let name = base.names.first(where: { $0.hasSuffix(ending) }) else { return "" }
    return String(name.dropLast(ending.count - 1))
  }

  var location: String { base.location }

  func entry(_ name: String) -> TensorEntry? { descriptions[name]?.entry ?? base.entry(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    try descriptions[name] ?? base.tensor(name)
  }
}
