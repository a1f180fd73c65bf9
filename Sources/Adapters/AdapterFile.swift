private import Checkpoints
internal import Formats
internal import ModelSources
internal import Support
internal import Tensors

/// An adapter file: small tensors for each module, whose products are added to a model's weights.
struct AdapterFile {
  /// The names of the tensors of one module, by part.
  struct Module {
    var parts: [AdapterPart: String] = [:]

    func has(_ part: AdapterPart) -> Bool { parts[part] != nil }
  }

  let path: String
  let weights: any WeightSource
  /// The modules by their names in the file, in the order of the file.
  let modules: [(key: String, module: Module)]
  /// Names of tensors that belong to no kind of adapter.
  let unknownTensors: [String]
  /// The metadata of the file.
  let metadata: JSONObject
  /// The kind of file: `safetensors file`.
  let container: String
  let settings: AdapterSettings?

  /// - Parameter place: the file, or a folder that diffusers or PEFT saved.
  init(_ place: String) throws {
    path = try Self.file(at: place)
    let archive = try Archives.open(path)
    weights = archive.weights
    metadata = archive.metadata
    container = archive.kind
    settings = try AdapterSettings(of: path, metadata: archive.metadata)
    var unknownTensors: [String] = []
    var places: [String: Int] = [:]
    var modules: [(key: String, module: Module)] = []
    for name in weights.names {
      guard let (key, part) = AdapterKeys.split(name) else {
        unknownTensors.append(name)
        continue
      }
      let place = places[key] ?? modules.count
      if place == modules.count {
        places[key] = place
        modules.append((key, Module()))
      }
      modules[place].module.parts[part] = name
    }
    guard !modules.isEmpty else {
      throw AdapterError.notAnAdapter(path: path, examples: Array(weights.names.prefix(4)))
    }
    self.modules = modules
    self.unknownTensors = unknownTensors
  }

  /// The path of the adapter file at `place`, a file or a folder.
  private static func file(at place: String) throws(AdapterError) -> String {
    guard isFolder(place) else { return place }
    let names = folderContents(place)
    let found = AdapterKeys.fileStems.compactMap { stem in
      AdapterKeys.fileExtensions.map { "\(stem).\($0)" }.first(where: names.contains)
    }
    guard found.count == 1 else { throw .folder(path: place, found: names) }
    return place + (place.hasSuffix("/") ? "" : "/") + found[0]
  }

  // MARK: - Tensors

  /// The rows and columns of a part as a matrix with the given number of rows or columns. Checks
  /// the part's shape only.
  func extents(
    _ name: String, rows: Int? = nil, columns: Int? = nil
  ) throws(AdapterError) -> (rows: Int, columns: Int) {
    let shape = weights.entry(name)?.shape ?? []
    let count = shape.count
    let height = rows ?? (columns.map { $0 > 0 ? count / $0 : 0 } ?? shape.rows)
    let width = columns ?? (height > 0 ? count / height : 0)
    guard height > 0, height * width == count else {
      let expected = [rows.map { counted($0, "row") }, columns.map { counted($0, "column") }]
        .compactMap { $0 }.joined(separator: " and ")
      throw .misshapen(path: path, tensor: name, found: shape, expected: "a matrix of \(expected)")
    }
    return (height, width)
  }

  /// Reads a part. Refuses NaN and infinite numbers.
  func tensor(_ name: String) throws -> Tensor {
    let stored = try weights.tensor(name)
    guard stored.encoding.isWidenable, !stored.encoding.isQuantized else {
      throw AdapterError.misshapen(
        path: path, tensor: name, found: stored.shape, expected: "floating-point numbers")
    }
    if stored.hasNonfinite { throw AdapterError.nonfinite(path: path, tensor: name) }
    return stored.widened()
  }

  /// Reads a part as a matrix with the given number of rows or columns.
  func matrix(
    _ name: String, rows: Int? = nil, columns: Int? = nil
  ) throws -> Tensor {
    let (height, width) = try extents(name, rows: rows, columns: columns)
    return try tensor(name).reshaped([height, width])
  }

  /// The factor of a product: alpha / rank, with the alpha of the module's tensor or of the
  /// settings; 1 without an alpha.
  func factor(_ module: Module, key: String, rank: Int) throws -> Float {
    guard let name = module.parts[.alpha] else {
      return try settings?.factor(of: key, rank: rank) ?? 1
    }
    let alpha = try tensor(name)
    guard alpha.shape.count == 1 else {
      throw AdapterError.misshapen(
        path: path, tensor: name, found: alpha.shape, expected: "one number")
    }
    return alpha.values[0] / Float(max(1, rank))
  }
}
