private import Checkpoints
internal import Formats
internal import ModelSources
internal import Support
internal import Tensors

/// An adapter file: small tensors for each module, whose products are added to a model's weights.
struct AdapterFile {
  /// The names of the tensors of one module, by part.
  struct Module {
    /// The module's name without what PyTorch, PEFT and trainers add.
    let name: String
    var parts: [AdapterPart: String] = [:]

    func has(_ part: AdapterPart) -> Bool { parts[part] != nil }
  }

  let path: String
  let weights: any WeightSource
  /// The modules by their names in the file, in the order of the file.
  let modules: [(key: String, module: Module)]
  /// Names of tensors that belong to no kind of adapter.
  let unknownTensors: [String]
  /// What PyTorch, PEFT and trainers add to names of the file, such as `base_model.model.`, sorted.
  let wrappers: [String]
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
    var wrappers: Set<String> = []
    var places: [String: Int] = [:]
    var modules: [(key: String, module: Module)] = []
    for name in weights.names {
      guard let (key, part) = AdapterKeys.split(name) else {
        unknownTensors.append(name)
        continue
      }
      wrappers.formUnion(NameWrappers.unwrapped(adapterModule: name).removed)
      let place = places[key] ?? modules.count
      if place == modules.count {
        places[key] = place
        modules.append((key, Module(name: NameWrappers.unwrapped(adapterModule: key).name)))
      }
      if let other = modules[place].module.parts.updateValue(name, forKey: part) {
        throw AdapterError.ambiguous(path: path, module: key, names: [other, name])
      }
    }
    guard !modules.isEmpty else {
      throw AdapterError.notAnAdapter(
        path: path, kind: ForeignKind(weights), tensors: weights.names)
    }
    self.modules = modules
    self.unknownTensors = unknownTensors
    self.wrappers = wrappers.sorted()
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

  // MARK: - Kinds

  /// The kind of a module's tensors that Decant does not merge, with one of the tensors; `nil` for
  /// other modules.
  func unmerged(_ module: Module) -> (kind: String, tensor: String)? {
    for (part, kind) in AdapterKeys.unmerged {
      guard let tensor = module.parts[part] else { continue }
      // LyCORIS's BOFT has the same name, and one axis more.
      let isButterfly = part == .blocksOFT && (weights.entry(tensor)?.shape.rank ?? 0) > 3
      return (isButterfly ? AdapterKeys.butterflyOFT : kind, tensor)
    }
    return nil
  }

  /// Refuses kinds that Decant does not merge, and those that the settings do not allow.
  func checkKinds() throws(AdapterError) {
    for (key, module) in modules {
      if let (kind, tensor) = unmerged(module) {
        throw .unsupported(path: path, kind: kind, tensor: tensor)
      }
      if let refusal = settings?.refusal(of: key, kinds: AdapterKinds.of(module)) { throw refusal }
      if settings?.usesDoRA(module.name) == true, !module.has(.scaleDoRA),
        !module.has(.magnitudeDoRA)
      {
        throw .missing(path: path, module: key, part: .magnitudeDoRA)
      }
    }
  }

  // MARK: - Tensors

  /// The rows and columns of a part as a matrix. Checks the part's shape only.
  ///
  /// Axes of extent 1 may be added or left out, as in [rank, in, 1, 1] for [rank, in], and the axes
  /// of a row may be flattened, as in [rank, 288] for [rank, 32, 3, 3].
  ///
  /// - Parameters:
  ///   - rows: the first axis; `nil` for a rank that the part itself determines.
  ///   - row: the other axes; `nil` for such a rank.
  func extents(
    _ name: String, rows: Int? = nil, row: [Int]? = nil
  ) throws(AdapterError) -> (rows: Int, columns: Int) {
    func significant(_ extents: some Sequence<Int>) -> [Int] { extents.filter { $0 != 1 } }
    let shape = weights.entry(name)?.shape ?? []
    let found = significant(shape.extents.dropFirst())
    let fits =
      if let row {
        found == significant(row) || found == significant([row.reduce(1, *)])
      } else {
        found.count <= 1
      }
    guard shape.rank > 0, shape.count > 0, fits, rows ?? shape.rows == shape.rows else {
      let expected = [rows.map(String.init) ?? "rank"] + (row?.map(String.init) ?? ["rank"])
      throw .misshapen(
        path: path, tensor: name, found: shape,
        expected: "[\(expected.joined(separator: ", "))]")
    }
    return (shape.rows, shape.rowLength)
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

  /// Reads a part as a matrix; see ``extents(_:rows:row:)``.
  func matrix(
    _ name: String, rows: Int? = nil, row: [Int]? = nil
  ) throws -> Tensor {
    let (height, width) = try extents(name, rows: rows, row: row)
    return try tensor(name).reshaped([height, width])
  }

  /// The factor of a product: alpha / rank, with the alpha of the module's tensor or of the
  /// settings, or PEFT's default; 1 without an alpha.
  ///
  /// - Parameter rank: `nil` for a product of whole factors. Then the module's alpha has no effect,
  ///   and the rank of the settings is used.
  func factor(_ module: Module, rank: Int?) throws -> Float {
    guard let name = module.parts[.alpha] else {
      return try settings?.factor(of: module.name, rank: rank) ?? 1
    }
    try checkAlpha(module)
    guard let rank else { return 1 }
    return try tensor(name).values[0] / Float(max(1, rank))
  }

  /// Whether the file determines the factor of a module's product.
  func hasFactor(_ module: Module) throws(AdapterError) -> Bool {
    if module.has(.alpha) { return true }
    return try settings?.alpha(of: module.name) != nil
  }

  /// Checks that a module's alpha, if it has one, is a single number. Reads no numbers.
  func checkAlpha(_ module: Module) throws(AdapterError) {
    guard let name = module.parts[.alpha] else { return }
    let shape = weights.entry(name)?.shape ?? []
    guard shape.count == 1 else {
      throw .misshapen(path: path, tensor: name, found: shape, expected: "one number")
    }
  }
}
