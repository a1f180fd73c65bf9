import ModelSources
import Support
import Tensors

/// Splits a component's weights into files of a limited size.
///
///     diffusion_pytorch_model.safetensors                     model.fp16.safetensors
///
///     diffusion_pytorch_model-00001-of-00002.safetensors      model.fp16-00001-of-00002.safetensors
///     diffusion_pytorch_model.safetensors.index.json          model.safetensors.index.fp16.json
///
/// The names are those of diffusers 0.42 and transformers 5.23.
struct DiffusersShards {
  /// The files, sorted by name.
  let files: [(name: String, source: any WeightSource)]
  /// The index of the shards; `nil` where there is one file.
  let index: (file: String, contents: JSONObject)?

  /// - Parameter limit: the largest total of tensor bytes in a file. A larger tensor gets a file of
  ///   its own. Like diffusers, the limit does not count headers.
  init(_ weights: any WeightSource, stem: String, variant: String?, limit: Int?) {
    let stem = variant.map { "\(stem).\($0)" } ?? stem
    let `extension` = "safetensors"
    let groups = Self.groups(weights, limit: limit ?? .max)
    guard groups.count > 1 else {
      files = [("\(stem).\(`extension`)", weights)]
      index = nil
      return
    }
    func digits(_ number: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
    var files: [(name: String, source: any WeightSource)] = []
    var owners: [(String, JSONValue)] = []
    for (number, names) in groups.enumerated() {
      let name = "\(stem)-\(digits(number + 1))-of-\(digits(groups.count)).\(`extension`)"
      files.append((name, NamedSource(base: weights, names: names)))
      owners += names.map { ($0, .string(name)) }
    }
    self.files = files
    let plain = variant.map { String(stem.dropLast($0.count + 1)) } ?? stem
    let middle = variant.map { ".\($0)" } ?? ""
    index = (
      "\(plain).\(`extension`).index\(middle).json",
      [
        "metadata": ["total_size": .integer(weights.byteCount)],
        "weight_map": .object(JSONObject(owners.sorted { $0.0 < $1.0 })),
      ]
    )
  }

  /// The names of the tensors of each file. Keeps the source's order, and begins a new file where
  /// the next tensor does not fit.
  private static func groups(_ weights: any WeightSource, limit: Int) -> [[String]] {
    var large: [[String]] = []
    var groups: [[String]] = []
    var free = 0
    for name in weights.names {
      let size = weights.entry(name)?.byteCount ?? 0
      if size > limit {
        large.append([name])
      } else if groups.isEmpty || size > free {
        groups.append([name])
        free = limit - size
      } else {
        groups[groups.count - 1].append(name)
        free -= size
      }
    }
    return groups + large
  }
}

/// A subset of the tensors of a source.
private struct NamedSource: WeightSource {
  let base: any WeightSource
  let names: [String]

  var location: String { base.location }
  func entry(_ name: String) -> TensorEntry? { base.entry(name) }
  func storedName(_ name: String) -> String { base.storedName(name) }
  func tensor(_ name: String) throws -> StoredTensor { try base.tensor(name) }
}
