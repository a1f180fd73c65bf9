private import Checkpoints
private import Foundation
internal import ModelSources
package import Quantization
package import Support
internal import Tensors

/// A folder of layers that are rounded already, one safetensors file for each, so that an interrupted
/// rounding continues where it was.
///
/// The folder is removed when the output is written.
package struct RoundingSpool: Sendable {
  package let path: String
  /// Everything that all layers depend on.
  private let key: JSONValue

  private static let metadataKey = "decant.rounded"

  /// - Parameters:
  ///   - path: the folder, which is created when the first layer is added.
  ///   - key: everything that the layers depend on, besides the entry of each in the plan.
  package init(path: String, key: JSONValue) {
    self.path = path
    self.key = key
  }

  /// Identifies the weights, the calls and the entry of a layer. A layer of another key is not used, so
  /// that a plan that changes some layers keeps the others.
  private func key(of entry: QuantizationPlan.Entry) -> String {
    let whole: JSONValue = [key, entry.json]
    return hexadecimalText(SHA256.digest(of: Array(whole.text().utf8)))
  }

  /// The layers in the folder with these encodings, by the names of their weights. Files of another
  /// key and damaged files are left out.
  ///
  /// - Parameter plan: the plan of the component.
  package func layers(of plan: QuantizationPlan) -> [String: RoundedLayers.Layer] {
    var found: [String: RoundedLayers.Layer] = [:]
    for (index, entry) in plan.entries.enumerated() {
      guard let layer = layer(at: file(of: index), for: entry) else { continue }
      found[entry.tensor] = layer
    }
    return found
  }

  /// Adds a layer.
  ///
  /// - Parameters:
  ///   - entry: the layer's entry in the plan.
  ///   - index: the index of the entry.
  func add(
    _ layer: RoundedLayers.Layer, of entry: QuantizationPlan.Entry, at index: Int
  ) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let file = file(of: index)
    let parts = layer.encoded.tensor.parts.enumerated().map { index, bytes in
      ("\(index)", StoredTensor(shape: [bytes.count], encoding: .plain(.u8), parts: [bytes]))
    }
    let facts: JSONObject = [
      "key": .string(key(of: entry)), "method": .string(layer.method),
      "figures": layer.encoded.figures.json,
    ]
    try writeSafetensors(
      MemorySource(location: file, parts),
      metadata: [Self.metadataKey: JSONValue.object(facts).text()], to: file, replacing: true)
  }

  /// What is at a path that no spool made: a file of that name, or another file in the folder; `nil`
  /// for nothing.
  package static func foreignContents(at path: String) -> String? {
    if isFile(path) { return "a file" }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.sorted().first { !isOwn($0) }.map { "'\($0)'" }
  }

  private static func isOwn(_ name: String) -> Bool {
    name.hasSuffix(ending) && Int(name.dropLast(ending.count)) != nil || name.hasPrefix(".")
  }

  /// Removes the layers, and the folder where nothing else is in it.
  package func remove() {
    let files = FileManager.default
    let names = (try? files.contentsOfDirectory(atPath: path)) ?? []
    for name in names where Self.isOwn(name) { try? files.removeItem(atPath: path + "/" + name) }
    if (try? files.contentsOfDirectory(atPath: path))?.isEmpty == true {
      try? files.removeItem(atPath: path)
    }
  }

  private static let ending = ".safetensors"

  private func file(of index: Int) -> String { path + "/\(index)\(Self.ending)" }

  private func layer(at path: String, for entry: QuantizationPlan.Entry) -> RoundedLayers.Layer? {
    guard isFile(path), let file = try? SafetensorsFile(path: path),
      let text = file.metadata[Self.metadataKey], let value = try? JSONValue(parsing: text),
      let facts = value.object, facts["key"] == .string(key(of: entry)),
      let method = facts["method"]?.string, let stored = facts["figures"],
      let figures = RoundingFigures(stored)
    else { return nil }
    let encoding = entry.scheme.encoding
    guard let sizes = encoding.partSizes(for: entry.shape) else { return nil }
    var parts: [ByteSlice] = []
    for (index, size) in sizes.enumerated() {
      guard let part = try? file.tensor("\(index)").parts.first, part.count == size else {
        return nil
      }
      parts.append(part)
    }
    return RoundedLayers.Layer(
      encoded: EncodedTensor(
        tensor: StoredTensor(shape: entry.shape, encoding: encoding, parts: parts),
        figures: figures), method: method)
  }
}

extension RoundingFigures {
  fileprivate var json: JSONValue {
    func number(_ value: Double?) -> JSONValue {
      // JSON has no infinity: no number changed.
      value.map { $0 == .infinity ? "infinite" : .number($0) } ?? .null
    }
    var object: JSONObject = [
      "sqnr": number(sqnr), "weighted_sqnr": number(weightedSQNR), "plain_sqnr": number(plainSQNR),
      "plain_weighted_sqnr": number(plainWeightedSQNR),
    ]
    if let clip {
      object["mean_clip"] = .number(clip.mean)
      object["least_clip"] = .number(clip.least)
    }
    return .object(object)
  }

  /// - Returns: `nil` for JSON of another form.
  fileprivate init?(_ json: JSONValue) {
    guard let object = json.object else { return nil }
    func number(_ name: String) -> Double? {
      object[name] == "infinite" ? .infinity : object[name]?.number
    }
    guard let sqnr = number("sqnr"), let plain = number("plain_sqnr") else { return nil }
    var clip: Clip?
    if let mean = number("mean_clip"), let least = number("least_clip") {
      clip = Clip(mean: mean, least: least)
    }
    self.init(
      sqnr: sqnr, weightedSQNR: number("weighted_sqnr"), plainSQNR: plain,
      plainWeightedSQNR: number("plain_weighted_sqnr"), clip: clip)
  }
}
