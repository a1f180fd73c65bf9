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
  /// - Throws: ``QuantizedFormError`` for a description that is not of that form, and
  ///   ``WeightError`` for layers below different prefixes.
  init?(_ base: any WeightSource, metadata: JSONObject, path: String) throws {
    guard let written = metadata[Self.member]?.string else { return nil }
    guard let value = try? JSONValue(parsing: written), let layers = value.object?["layers"]?.object
    else {
      throw QuantizedFormError.malformed(path: path, member: Self.member)
    }
    let prefix = try Self.prefix(of: layers.members.map(\.key), in: base, path: path)
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
  ///
  /// - Throws: ``WeightError`` where no prefix fits all of the layers that the file has.
  private static func prefix(
    of layers: [String], in base: any WeightSource, path: String
  ) throws(WeightError) -> String {
    let described = Set(layers.map { $0[...] })
    // Comparing lengths first bounds the time for long names with many dots.
    let lengths = Set(layers.map(\.utf8.count))
    /// The prefixes of each layer that the file has, in the order of the file.
    var prefixes: [Substring: [Substring]] = [:]
    for name in base.names where name.hasSuffix(ComfyUIForm.weight) {
      let stem = name.dropLast(ComfyUIForm.weight.count)
      let dots = stem.utf8.indices.filter { stem.utf8[$0] == UInt8(ascii: ".") }
      for start in [stem.startIndex] + dots.map(stem.utf8.index(after:)) {
        let layer = stem[start...]
        guard lengths.contains(layer.utf8.count), described.contains(layer) else { continue }
        prefixes[layer, default: []].append(stem[..<start])
      }
    }
    var common: [Substring]?
    for layer in layers {
      guard let own = prefixes[layer[...]] else { continue }
      let places = Set(own)
      let fitting = (common ?? own).filter(places.contains)
      guard !fitting.isEmpty else {
        throw WeightError(
          location: path, tensor: own[0] + layer + ComfyUIForm.weight,
          found:
            "is below the prefix '\(shown(String(own[0])))', expected "
            + "'\(shown(String(common?[0] ?? "")))', as of the layers that the header describes "
            + "before '\(shown(layer))'")
      }
      common = fitting
    }
    guard let common, !common.contains("") else { return "" }
    return String(common[0])
  }

  var location: String { base.location }

  func entry(_ name: String) -> TensorEntry? { descriptions[name]?.entry ?? base.entry(name) }

  func storedName(_ name: String) -> String { base.storedName(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    try descriptions[name] ?? base.tensor(name)
  }
}
